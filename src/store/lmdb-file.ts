import { closeSync, existsSync, mkdirSync, openSync, readdirSync, statfsSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { type Database, open, type RootDatabase } from 'lmdb'
import { GbaError } from '../errors.ts'
import { FreeSpace } from './free-space.ts'

/** Keys and values are octets; nothing is interpreted by the engine. */
export type LmdbDatabase = Database<Uint8Array, Uint8Array>

const OCTETS = { encoding: 'binary', keyEncoding: 'binary' } as const

export interface LmdbFileOptions {
  readonly path: string
  /** false: a commit survives this process but perhaps not a loss of power; the file may then be unreadable. */
  readonly durable: boolean
  /** Below this much free space on the file system nothing is written. */
  readonly minFreeBytes: number
  /** Octets free to this user there. */
  readonly freeBytes: () => number
  /** Room that the file keeps ahead of its content, in which it goes on when the disk is full; none by default. */
  readonly reserveBytes?: number
}

/**
 * One LMDB file with several databases, shared by the threads and processes of a host.
 * A write is synchronous, and has committed when it returns; `writeAsync` commits on another thread. A process opens a
 * file once where it writes in both ways. The engine must never meet a full disk: one failed page write, in any of its
 * modes, spoils its memory and aborts the process some calls later. So free space is judged inside each transaction, and
 * once a commit has failed the file is read-only until the process restarts.
 */
export class LmdbFile {
  readonly #root: RootDatabase<Uint8Array, Uint8Array>
  readonly #options: LmdbFileOptions
  readonly #space: FreeSpace
  #failure: unknown
  #closed = false
  #jobsUntilReserving = 0
  #lastAsync: Promise<unknown> = Promise.resolve()
  #asyncWrites = 0

  constructor(options: LmdbFileOptions) {
    this.#options = options
    const { path, durable, minFreeBytes, freeBytes } = options
    this.#space = new FreeSpace({ ask: freeBytes, minFreeBytes })
    if (!existsSync(path)) this.#checkSpace()
    const settings = { ...OCTETS, path, noSubdir: true, maxDbs: 16, permissionsMode: 0o600 }
    // With overlappingSync, the engine's default, a synchronous write returns before it is on the disk. With
    // eventTurnBatching, a default, too, a commit that fails off this thread rejects a promise that nobody has.
    const safe = { overlappingSync: false, eventTurnBatching: false } as const
    this.#root = this.#translate(() => open({ ...settings, ...safe, noSync: !durable }))
    this.#reserve()
  }

  /** Opens the database of that name, which is made when missing. */
  database(name: string): LmdbDatabase {
    const there = this.databaseIfThere(name)
    if (there !== undefined) return there
    return this.#translate(() => {
      this.#checkSpace()
      return this.#root.openDB<Uint8Array, Uint8Array>({ ...OCTETS, name })
    })
  }

  /** Opens the database of that name; undefined when there is none. */
  databaseIfThere(name: string): LmdbDatabase | undefined {
    const existing = { ...OCTETS, name, create: false }
    return this.#translate(() => this.#root.openDB<Uint8Array, Uint8Array>(existing))
  }

  /** Runs `action` on what was last committed by anybody. */
  read<T>(action: () => T): T {
    this.#checkOpen()
    return this.#translate(() => {
      this.#root.resetReadTxn()
      return action()
    })
  }

  /**
   * Runs `action` as one transaction that no other can overlap. When it throws, nothing has changed.
   * @param jobs  how much it may write: so many times what one caller asks for
   * @throws GbaError STORE_UNAVAILABLE when the disk is nearly full or the engine fails; what `action` throws, as it is
   */
  write<T>(action: () => T, jobs = 1): T {
    this.#checkOpen()
    this.#checkSound()
    // The engine would commit half of what the other does.
    if (this.#asyncWrites > 0) throw new RangeError('a synchronous write while an asynchronous one is under way')
    let committing = false
    try {
      return this.#root.transactionSync(() => {
        this.#reserveAtTimes(jobs)
        this.#checkSpace(jobs)
        const result = action()
        committing = true
        return result
      })
    } catch (error) {
      if (committing || isDiskError(error)) throw this.#failed(error)
      throw this.#translated(error)
    }
  }

  /**
   * As `write`, but the engine waits for its lock and for the disk on a thread of its own. `action` runs on this one once
   * the lock is held, in a turn of its own; others are held up until then. One follows the other.
   * @param action  synchronous
   * @returns what `action` did, once that is on the disk
   */
  async writeAsync<T>(action: () => T, jobs = 1): Promise<T> {
    this.#checkOpen()
    this.#asyncWrites++
    const written = this.#lastAsync
      .then(() => this.#writeOffThread(action, jobs))
      .finally(() => {
        this.#asyncWrites--
      })
    this.#lastAsync = written.catch(() => {})
    return await written
  }

  /** Whether a write would be tried now. */
  isWritable(): boolean {
    if (this.#closed || this.needsRestart()) return false
    try {
      this.#checkSpace()
      return true
    } catch {
      return false
    }
  }

  /** Whether a write has failed: none will be tried before the process restarts. */
  needsRestart(): boolean {
    return this.#failure !== undefined
  }

  /** What was asked for is written, before. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#lastAsync
    await this.#root.close()
  }

  async #writeOffThread<T>(action: () => T, jobs: number): Promise<T> {
    this.#checkSound()
    this.#checkSpace(jobs)
    let outcome: { readonly result: T } | { readonly error: unknown } | undefined
    try {
      // Within a child, since what has been written when a callback throws is committed otherwise.
      await this.#root.childTransaction(() => {
        try {
          this.#checkSpace(jobs)
          outcome = { result: action() }
        } catch (error) {
          outcome = { error }
          throw error
        }
      })
    } catch (error) {
      if (outcome === undefined || 'result' in outcome) throw this.#failed(await causeOf(error))
      if (isDiskError(outcome.error)) throw this.#failed(outcome.error)
      throw this.#translated(outcome.error)
    }
    if (outcome === undefined || 'error' in outcome) throw new Error('a transaction that did not run has committed')
    return outcome.result
  }

  #checkSound(): void {
    if (this.#failure !== undefined) throw this.#failed(this.#failure)
  }

  #failed(cause: unknown): GbaError {
    this.#failure = cause
    const why = cause instanceof Error ? cause.message : 'no reason given'
    return this.#unavailable(
      `a write failed (${why}): see to its disk, then restart, before which none is tried`,
      cause,
    )
  }

  #checkOpen(): void {
    if (this.#closed) throw this.#unavailable('it is closed')
  }

  #checkSpace(jobs = 1): void {
    const { minFreeBytes } = this.#options
    const more = (jobs - 1) * MOST_OF_A_FURTHER_JOB
    const free = this.#space.bytes()
    if (free >= minFreeBytes + more || this.#room() >= MOST_OF_A_JOB + more) return
    throw this.#unavailable(`read-only while its disk has ${free} octets free, fewer than ${minFreeBytes}: make room`)
  }

  /** Octets past the last page in use that the file system has given already: to write there, it needs no free space. */
  #room(): number {
    if (this.#options.reserveBytes === undefined || this.#root === undefined) return 0
    const { size, blocks } = statSync(this.#options.path)
    return Math.min(size, blocks * BLOCK) - this.#usedBytes()
  }

  #usedBytes(): number {
    const { lastPageNumber, pageSize }: { lastPageNumber?: number; pageSize?: number } = this.#root.getStats()
    if (lastPageNumber === undefined || pageSize === undefined) return Number.POSITIVE_INFINITY
    return (lastPageNumber + 1) * pageSize
  }

  #reserveAtTimes(jobs: number): void {
    if (this.#jobsUntilReserving <= 0) {
      this.#reserve()
      this.#jobsUntilReserving = JOBS_BETWEEN_RESERVING
    }
    this.#jobsUntilReserving -= jobs
  }

  /**
   * Makes the file longer, past its end only and within a transaction, so that nobody's pages are written over. Where
   * there is no space for it, there is none.
   */
  #reserve(): void {
    const { reserveBytes, path, minFreeBytes, freeBytes } = this.#options
    if (reserveBytes === undefined || this.#room() >= reserveBytes / 2) return
    this.#root.transactionSync(() => {
      const missing = reserveBytes - this.#room()
      if (missing <= 0 || freeBytes() < minFreeBytes + missing) return
      const file = openSync(path, 'r+')
      try {
        for (let at = statSync(path).size, left = missing; left > 0; at += CHUNK.length, left -= CHUNK.length) {
          if (writeSync(file, CHUNK, 0, CHUNK.length, at) < CHUNK.length) return
        }
      } finally {
        closeSync(file)
      }
    })
  }

  #translate<T>(action: () => T): T {
    try {
      return action()
    } catch (error) {
      throw this.#translated(error)
    }
  }

  #translated(error: unknown): unknown {
    return isEngineError(error) ? this.#unavailable(error.message, error) : error
  }

  #unavailable(detail: string, cause?: unknown): GbaError {
    return new GbaError('STORE_UNAVAILABLE', `${this.#options.path}: ${detail}`, { cause })
  }
}

/** No job of a file with a reserve takes more pages, alone and beside others; what was measured is a third of that. */
const MOST_OF_A_JOB = 256 * 1024
const MOST_OF_A_FURTHER_JOB = 64 * 1024
const JOBS_BETWEEN_RESERVING = 1024
const CHUNK = new Uint8Array(64 * 1024)
const BLOCK = 512

/** The engine numbers its errors; Node and we name ours. */
const isEngineError = (error: unknown): error is Error =>
  error instanceof Error && 'code' in error && typeof error.code === 'number'

/** EIO, EFBIG, ENOSPC, EROFS, EDQUOT: the engine has met what it does not recover from, before the commit even. */
const DISK_ERRORS: ReadonlySet<unknown> = new Set([5, 27, 28, 30, 122])
const isDiskError = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && DISK_ERRORS.has(error.code)

/** What the engine tells of a commit that failed off the thread comes in a promise beside the error. */
async function causeOf(error: unknown): Promise<unknown> {
  if (!(error instanceof Error && 'commitError' in error)) return error
  try {
    await error.commitError
    return error
  } catch (cause) {
    return cause
  }
}

export function entryCount(database: LmdbDatabase): number {
  const stats: { readonly entryCount?: number } = database.getStats()
  return stats.entryCount ?? 0
}

/** Octets free to this user on the file system that holds `path`. */
export function freeBytesAt(path: string): number {
  const { bavail, bsize } = statfsSync(path)
  return bavail * bsize
}

/** Octets of the LMDB files in a directory. */
export function lmdbBytesIn(directory: string): number {
  const files = readdirSync(directory).filter((file) => file.endsWith('.mdb'))
  return files.reduce((sum, file) => sum + (statSync(join(directory, file), { throwIfNoEntry: false })?.size ?? 0), 0)
}

/** Makes the directory for this user alone; one that is there must not be writable by others. */
export function makePrivateDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
  } catch (cause) {
    const detail = `store directory ${directory} cannot be made: make it, owned by this user, or name another`
    throw new GbaError('STORE_UNAVAILABLE', detail, { cause })
  }
  if ((statSync(directory).mode & 0o022) !== 0) {
    throw new GbaError('STORE_UNAVAILABLE', `store directory ${directory} is writable by others: chmod go-w it`)
  }
}
