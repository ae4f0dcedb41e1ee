import { hash, randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { concat, type EpochMs } from '../core/bytes.ts'
import { Memo } from '../core/memo.ts'
import { corrupted } from './faults.ts'
import { GroupCommit } from './group-commit.ts'
import { bootIdOfHost, removeOtherBoots } from './host-boot.ts'
import { MIN_FREE_BYTES } from './lmdb-environment.ts'
import { entryCount, freeBytesAt, LmdbFile, makePrivateDirectory } from './lmdb-file.ts'
import {
  checkNc,
  NC_WINDOW_OCTETS,
  type NcWindow,
  openNcWindow,
  readNcWindow,
  useNc,
  writeNcWindow,
} from './nc-window.ts'
import { sortable } from './sortable.ts'
import type { NonceLedger } from './store.ts'

export interface LmdbNonceLedgerOptions {
  /** Made with mode 0700 when missing. */
  readonly directory: string
  readonly maxNonces: number
  /** Floor of a ledger that begins now: nonces minted up to then are forgotten. */
  readonly startedAt: EpochMs
  readonly minFreeBytes?: number
  readonly freeBytes?: () => number
  /** Room in which it goes on when the disk is full, so that keys the NAF has are of use; 16 MiB by default. */
  readonly reserveBytes?: number
  /** Names the boot of this host; undefined where the system tells none. */
  readonly bootId?: string | undefined
}

/**
 * The ledger that all threads and processes of a host share; the rules are those of `memoryNonceLedger`.
 * Its commits are not flushed, which makes them an order of magnitude cheaper: they survive a killed process, and a new
 * boot of the host begins a new file with a new floor, so what a loss of power took is forgotten, never accepted.
 * Where the system does not tell its boots apart, commits are flushed and the file goes on.
 */
export function lmdbNonceLedger(options: LmdbNonceLedgerOptions): NonceLedger & { close(): Promise<void> } {
  const { directory, maxNonces, minFreeBytes = MIN_FREE_BYTES, freeBytes = () => freeBytesAt(directory) } = options
  const { reserveBytes = RESERVE_BYTES } = options
  const bootId = 'bootId' in options ? options.bootId : bootIdOfHost()
  makePrivateDirectory(directory)
  const name = bootId === undefined ? 'nonces.mdb' : `nonces-${bootId}.mdb`
  removeOtherBoots(directory, 'nonces', name)
  const durable = bootId === undefined
  const file = new LmdbFile({ path: join(directory, name), durable, minFreeBytes, freeBytes, reserveBytes })
  const records = file.database('nonces') // sha256(nonce) -> checksum (4) ‖ window
  const order = file.database('order') // mintedAt (8) ‖ key of the record -> expiresAt (8)
  const marks = file.database('marks')
  const floorKey = Buffer.from('floor')
  const generationKey = Buffer.from('generation')
  const generation = file.write(() => {
    if (marks.get(floorKey) === undefined) marks.putSync(floorKey, sortable(options.startedAt))
    if (marks.get(generationKey) === undefined) marks.putSync(generationKey, Buffer.from(randomUUID()))
    return Buffer.from(marks.get(generationKey) ?? []).toString()
  })
  /** As `standing` tells it. */
  let told: EpochMs = 0

  // One buffer for all: the engine copies what it is given, and finding the address of a fresh one costs as much again.
  const room = Buffer.alloc(4 + NC_WINDOW_OCTETS.bits)
  const runRecord = room.subarray(0, 4 + NC_WINDOW_OCTETS.run)

  function readWindow(key: Uint8Array): NcWindow | undefined {
    const found = records.get(key)
    if (found === undefined) return undefined
    const record = Buffer.from(found.buffer, found.byteOffset, found.length)
    if (record.length < 4 || record.readUInt32BE(0) !== checksum(key, record.subarray(4))) throw corrupted('nonce')
    return readNcWindow(record, 4)
  }
  function writeWindow(key: Uint8Array, window: NcWindow): void {
    const record = writeNcWindow(window, room, 4) === NC_WINDOW_OCTETS.run ? runRecord : room
    record.writeUInt32BE(checksum(key, record.subarray(4)), 0)
    records.putSync(key, record)
  }
  function floor(): EpochMs {
    const mark = marks.get(floorKey)
    if (mark?.length !== 8) throw corrupted('nonce floor')
    const found = viewOf(mark).getFloat64(0)
    told = Math.max(told, found)
    return found
  }
  function oldest():
    | { readonly entry: Uint8Array; readonly mintedAt: EpochMs; readonly expiresAt: EpochMs }
    | undefined {
    for (const { key: entry, value } of order.getRange({ start: new Uint8Array(8), limit: 1 })) {
      return { entry, mintedAt: viewOf(entry).getFloat64(0), expiresAt: viewOf(value).getFloat64(0) }
    }
    return undefined
  }
  function youngest(): EpochMs | undefined {
    for (const entry of order.getKeys({ reverse: true, limit: 1 })) return viewOf(entry).getFloat64(0)
    return undefined
  }
  function forget(entry: Uint8Array): void {
    const risen = Math.max(floor(), viewOf(entry).getFloat64(0))
    marks.putSync(floorKey, sortable(risen))
    told = Math.max(told, risen)
    order.removeSync(entry)
    records.removeSync(entry.subarray(8))
  }
  function forgetExpired(now: EpochMs): void {
    for (let left = 2; left > 0; left--) {
      const head = oldest()
      if (head === undefined || now < head.expiresAt) return
      forget(head.entry)
    }
  }
  /** @returns false when the nonce is older than all that a full ledger holds: then it is the one to go */
  function makeRoom(mintedAt: EpochMs): boolean {
    const head = entryCount(records) < maxNonces ? undefined : oldest()
    if (head === undefined) return maxNonces > 0
    if (mintedAt <= head.mintedAt) return false
    forget(head.entry)
    return true
  }

  /** As in memory. */
  function refuse(now: EpochMs): 'forgotten' {
    const head = entryCount(records) < maxNonces ? undefined : oldest()
    if (head !== undefined && now <= head.mintedAt) told = Math.max(told, youngest() ?? 0)
    return 'forgotten'
  }

  function judge({ key, mintedAt, expiresAt, nc, now }: Job): Use {
    const window = readWindow(key)
    if (window !== undefined) {
      if (!useNc(window, nc)) return 'reused'
      writeWindow(key, window)
      return 'accepted'
    }
    forgetExpired(now)
    if (mintedAt <= floor() || !makeRoom(mintedAt)) return refuse(now)
    order.putSync(concat(sortable(mintedAt), key), sortable(expiresAt))
    writeWindow(key, openNcWindow(nc))
    return 'accepted'
  }
  floor() // for `standing`
  const keys = new Memo<Uint8Array>((nonce) => hash('sha256', nonce, 'buffer'), { most: MOST_KEYS, longest: 64 })
  const commits = new GroupCommit<Job, Use>({
    most: MOST_AT_ONCE,
    transaction: (action, uses) => file.write(action, uses),
    act: judge,
  })

  return {
    async use({ nonce, mintedAt, expiresAt, generation: its = generation }, nc, now) {
      checkNc(nc)
      if (now >= expiresAt || its !== generation) return 'forgotten'
      return commits.add({ key: keys.of(nonce), mintedAt, expiresAt, nc, now })
    },
    standing: () => ({ floor: told, generation }),
    close() {
      commits.flush()
      return file.close()
    },
  }
}

type Use = Awaited<ReturnType<NonceLedger['use']>>

interface Job {
  readonly key: Uint8Array
  readonly mintedAt: EpochMs
  readonly expiresAt: EpochMs
  readonly nc: number
  readonly now: EpochMs
}

const MOST_AT_ONCE = 512
/** Of nonces in use, which come again and again; each takes half a kilobyte. */
const MOST_KEYS = 512
const RESERVE_BYTES = 16 * 1024 * 1024

const checksum = (key: Uint8Array, window: Uint8Array): number => crc32(window, crc32(key))

const viewOf = (octets: Uint8Array): DataView => new DataView(octets.buffer, octets.byteOffset, octets.length)
