import { utf8 } from '../core/bytes.ts'
import { GbaError } from '../errors.ts'
import { decodeHead } from './access-head.ts'
import { ACCESS_DATABASES } from './lmdb-access-records.ts'
import { entryCount, type LmdbDatabase, type LmdbFile } from './lmdb-file.ts'

/** Layout of the file and of every record in it. */
const FORMAT = utf8('1')
const FORMAT_KEY = utf8('format')
/** Says that what was moved is no longer where it was. */
const CLEARED_KEY = utf8('former-cleared')
/** In one transaction, or one record: in pages that are half empty, far less than what stays free on the disk. */
const OCTETS_AT_ONCE = 2 * 1024 * 1024

export interface MoveOptions {
  /** Octets of records in one transaction. 2 MiB by default. */
  readonly octetsAtOnce?: number
  /** Told of what had to be dropped. */
  readonly report?: ((error: unknown) => void) | undefined
}

/**
 * Moves what earlier programs kept in the store's own file, record by record: it opens there as well. The file is
 * marked when all of it is there, and before that nobody writes to it but who moves; what is then left in the store's
 * file is dropped. Processes that start together, and one that was killed meanwhile, do it once more: what an earlier
 * try has left in the file, and the store no longer has, goes.
 * What an earlier program writes into the store's file once that was cleared is dropped at the next start and reported:
 * nobody can tell which of it is there twice.
 * @throws GbaError STORE_UNAVAILABLE when there is no room, or when the file is of another program
 */
export function moveAccessLogs(file: LmdbFile, former: LmdbFile | undefined, options: MoveOptions = {}): void {
  const marks = file.database('marks')
  const targets = ACCESS_DATABASES.map((name) => ({ name, to: file.database(name) }))
  const isMarked = () => marks.get(FORMAT_KEY) !== undefined
  if (!file.read(isMarked)) {
    const octetsAtOnce = options.octetsAtOnce ?? OCTETS_AT_ONCE
    if (former) {
      for (const { name, to } of targets) {
        copy(file, former, { isMarked, from: former.databaseIfThere(name), to, octetsAtOnce })
      }
    }
    file.write(() => isMarked() || marks.putSync(FORMAT_KEY, FORMAT))
  }
  const format = file.read(() => marks.get(FORMAT_KEY))
  if (format === undefined || Buffer.compare(format, FORMAT) !== 0) {
    throw new GbaError('STORE_UNAVAILABLE', 'access logs have another format: run the program that made them')
  }
  if (former === undefined) return
  const wasCleared = file.read(() => marks.get(CLEARED_KEY)) !== undefined
  const entries = clear(former)
  if (wasCleared && entries > 0) options.report?.(writtenTooLate(entries))
  if (!wasCleared && file.isWritable()) file.write(() => marks.putSync(CLEARED_KEY, FORMAT))
}

const writtenTooLate = (entries: number) =>
  new GbaError(
    'STORE_UNAVAILABLE',
    `dropped ${entries} entries of access logs, which an earlier program wrote into store.mdb after the logs had moved ` +
      'to access.mdb: upgrade all programs that share a directory together',
  )

/** @returns how many entries there were; one process alone is told of them */
function clear(former: LmdbFile): number {
  const [parts, owners, order] = ACCESS_DATABASES.map((name) => former.databaseIfThere(name))
  const there = [parts, owners, order].filter((database) => database !== undefined)
  if (former.read(() => there.every((database) => entryCount(database) === 0))) return 0
  return former.write(() => {
    let entries = 0
    for (const { value } of owners?.getRange({ start: FIRST }) ?? []) entries += decodeHead(value)?.entries ?? 0
    for (const database of there) database.clearSync()
    return entries
  })
}

const FIRST = new Uint8Array(1)

interface Copying {
  /** Whether another process has copied all. */
  readonly isMarked: () => boolean
  /** undefined: there is nothing. */
  readonly from: LmdbDatabase | undefined
  readonly to: LmdbDatabase
  readonly octetsAtOnce: number
}

function copy(file: LmdbFile, former: LmdbFile, copying: Copying): void {
  const { isMarked, to } = copying
  let start: Uint8Array | undefined = FIRST
  while (start !== undefined) {
    const first: Uint8Array = start
    start = file.write(() => {
      if (isMarked()) return undefined
      const { records, stale, next } = former.read(() => batch(copying, first))
      for (const key of stale) to.removeSync(key)
      for (const [key, value] of records) to.putSync(key, value)
      return next
    })
  }
}

/** What makes the target the same as the source, from one key on to where the next batch begins. */
function batch({ from, to, octetsAtOnce }: Copying, start: Uint8Array) {
  const records: (readonly [Uint8Array, Uint8Array])[] = []
  const stale: Uint8Array[] = []
  const sources = (from?.getRange({ start }) ?? [])[Symbol.iterator]()
  const targets = to.getKeys({ start })[Symbol.iterator]()
  let source = sources.next()
  let target = targets.next()
  let octets = 0
  while (!source.done || !target.done) {
    const order = source.done ? 1 : target.done ? -1 : Buffer.compare(source.value.key, target.value)
    const key: Uint8Array = order > 0 ? target.value : source.value.key
    const size = order > 0 ? OCTETS_OF_REMOVING : OCTETS_OF_A_RECORD + key.length + source.value.value.length
    if (octets > 0 && octets + size > octetsAtOnce) {
      sources.return?.()
      targets.return?.()
      return { records, stale, next: key }
    }
    octets += size
    if (order > 0) stale.push(key)
    else records.push([key, source.value.value])
    if (order <= 0) source = sources.next()
    if (order >= 0) target = targets.next()
  }
  return { records, stale, next: undefined }
}

/** What the engine needs beside. */
const OCTETS_OF_A_RECORD = 16
/** A page is written where a record was; longer ones have pages of their own, which are given back. */
const OCTETS_OF_REMOVING = 2048
