import { utf8 } from '../core/bytes.ts'
import { GbaError } from '../errors.ts'
import { ACCESS_DATABASES } from './lmdb-access-records.ts'
import { entryCount, type LmdbDatabase, type LmdbFile } from './lmdb-file.ts'

/** Layout of the file and of every record in it. */
const FORMAT = utf8('1')
const FORMAT_KEY = utf8('format')
/** In one transaction: far less than what stays free on the disk. */
const OCTETS_AT_ONCE = 4 * 1024 * 1024

/**
 * Moves what earlier programs kept in the store's own file, record by record: it opens there as well. The file is
 * marked when all of it is there, and before that nobody writes to it; what is then left in the store's file is dropped.
 * Processes that start together, and one that was killed meanwhile, do it once more, which changes nothing.
 * @throws GbaError STORE_UNAVAILABLE when there is no room, or when the file is of another program
 */
export function moveAccessLogs(file: LmdbFile, former: LmdbFile | undefined): void {
  const marks = file.database('marks')
  const sources = ACCESS_DATABASES.map((name) => ({ to: file.database(name), from: former?.databaseIfThere(name) }))
  const isMarked = () => marks.get(FORMAT_KEY) !== undefined
  if (!file.read(isMarked)) {
    for (const { from, to } of sources) if (former && from) copy(file, former, { isMarked, from, to })
    file.write(() => isMarked() || marks.putSync(FORMAT_KEY, FORMAT))
  }
  const format = file.read(() => marks.get(FORMAT_KEY))
  if (format === undefined || Buffer.compare(format, FORMAT) !== 0) {
    throw new GbaError('STORE_UNAVAILABLE', 'access logs have another format: run the program that made them')
  }
  for (const { from } of sources) {
    if (former && from && former.read(() => entryCount(from)) > 0) former.write(() => from.clearSync())
  }
}

interface Copying {
  /** Whether another process has copied all. */
  readonly isMarked: () => boolean
  readonly from: LmdbDatabase
  readonly to: LmdbDatabase
}

function copy(file: LmdbFile, former: LmdbFile, { isMarked, from, to }: Copying): void {
  let start: Uint8Array | undefined = new Uint8Array(1)
  while (start !== undefined) {
    const first: Uint8Array = start
    start = file.write(() => {
      if (isMarked()) return undefined
      const { records, next } = former.read(() => some(from, first))
      for (const [key, value] of records) to.putSync(key, value)
      return next
    })
  }
}

function some(from: LmdbDatabase, start: Uint8Array) {
  const records: (readonly [Uint8Array, Uint8Array])[] = []
  let octets = 0
  for (const { key, value } of from.getRange({ start })) {
    if (octets >= OCTETS_AT_ONCE) return { records, next: key }
    records.push([key, value])
    octets += OCTETS_OF_A_RECORD + key.length + value.length
  }
  return { records, next: undefined }
}

/** What the engine needs beside. */
const OCTETS_OF_A_RECORD = 16
