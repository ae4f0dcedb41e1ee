import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fromUtf8, utf8 } from '../core/bytes.ts'
import { GbaError } from '../errors.ts'
import { GroupCommit } from './group-commit.ts'
import { makeKeyFile, readKeyFile } from './key-file.ts'
import { freeBytesAt, LmdbFile, makePrivateDirectory } from './lmdb-file.ts'
import { type SealKeys, seal, unseal } from './seal.ts'

export interface LmdbOptions {
  /** Made with mode 0700 when missing. */
  readonly directory: string
  /** Made with mode 0600 when missing; `seal.key` in the directory by default. */
  readonly keyFile?: string
  /** Below this much free space the store is read-only. 16 MiB by default. */
  readonly minFreeBytes?: number
  readonly freeBytes?: () => number
}

/** An open store directory; the adapters below share it. */
export interface LmdbEnvironment {
  readonly file: LmdbFile
  readonly keys: SealKeys
  /**
   * Runs `action` in a transaction of the file that it may share with others of the same turn, and resolves to what it
   * returned once that is on the disk. When it throws, nothing of it has changed, and it may have been run more than once.
   */
  commit<T>(action: () => T): Promise<T>
  /** What was to be committed is, before. */
  close(): Promise<void>
}

export const MIN_FREE_BYTES = 16 * 1024 * 1024

/** Layout of the directory and of every record in it. */
const FORMAT = 1

/**
 * Opens the store in a directory, which every thread and process of this host may do at once.
 * @throws GbaError STORE_UNAVAILABLE when it cannot be used; the message names the file and says what to do
 */
export function openLmdb(options: LmdbOptions): LmdbEnvironment {
  const { directory, minFreeBytes = MIN_FREE_BYTES, freeBytes = () => freeBytesAt(directory) } = options
  makePrivateDirectory(directory)
  const path = join(directory, 'store.mdb')
  const keys = keysOf(options.keyFile ?? join(directory, 'seal.key'), path)
  const file = new LmdbFile({ path, durable: true, minFreeBytes, freeBytes })
  try {
    checkMarks(file, keys, directory)
  } catch (error) {
    void file.close()
    throw error
  }
  return lmdbEnvironment(file, keys)
}

/** The environment of a file that is open. */
export function lmdbEnvironment(file: LmdbFile, keys: SealKeys): LmdbEnvironment {
  const commits = new GroupCommit<() => unknown, unknown>({
    most: MOST_AT_ONCE,
    transaction: (action, jobs) => file.write(action, jobs),
    act: (action) => action(),
  })
  return {
    file,
    keys,
    // Each is answered with its own result.
    commit: <T>(action: () => T) => commits.add(action) as Promise<T>,
    close: async () => {
      commits.flush()
      await file.close()
    },
  }
}

/** So much waits for one disk write at most: others have the file to themselves for no longer. */
const MOST_AT_ONCE = 64

/** A key file is made before the store is, so a store without one has lost it. */
function keysOf(keyFile: string, storePath: string): SealKeys {
  const keys = readKeyFile(keyFile)
  if (keys !== undefined) return keys
  if (!existsSync(storePath)) makeKeyFile(keyFile)
  const made = readKeyFile(keyFile)
  if (made !== undefined) return made
  const detail = `${storePath} is there but its key file ${keyFile} is not: restore it, or remove the store`
  throw new GbaError('STORE_UNAVAILABLE', detail)
}

const FORMAT_KEY = utf8('format')
const SEAL_PLACE = { database: 'marks', key: utf8('seal') }

function checkMarks(file: LmdbFile, keys: SealKeys, directory: string): void {
  const marks = file.database('marks')
  const marked = () => file.read(() => marks.get(FORMAT_KEY))
  if (marked() === undefined) {
    file.write(() => {
      if (marks.get(FORMAT_KEY) !== undefined) return
      marks.putSync(FORMAT_KEY, utf8(String(FORMAT)))
      marks.putSync(SEAL_PLACE.key, seal(keys, SEAL_PLACE, new Uint8Array(0)))
    })
  }
  const format = Number(fromUtf8(marked() ?? new Uint8Array(0)))
  if (format !== FORMAT) {
    const detail = `store in ${directory} has format ${format}, this program knows ${FORMAT}: run the program that made it`
    throw new GbaError('STORE_UNAVAILABLE', detail)
  }
  if (unseal(keys, SEAL_PLACE, file.read(() => marks.get(SEAL_PLACE.key)) ?? new Uint8Array(0)) === undefined) {
    throw new GbaError('STORE_UNAVAILABLE', `the key file is not that of the store in ${directory}: restore it`)
  }
}
