import { closeSync, openSync, writeSync } from 'node:fs'
import type { AuditEvent } from './audit.ts'

export interface AuditFileOptions {
  readonly path: string
  /** Which of several processes writes; undefined: there is one. */
  readonly worker?: number | undefined
  /** Told of what could not be written or opened, once per spell of failures. */
  readonly onFailure: (error: unknown) => void
}

/** A file that audit records are appended to, one line each, for its owner alone. */
export interface AuditFile {
  /** @throws what the file system said, while it takes nothing: what cannot be recorded is not to be done */
  write(event: AuditEvent, fields: Readonly<Record<string, unknown>>): void
  /** Writes what waits now, not at the end of the turn. @throws what the file system said, while it takes nothing */
  flush(): void
  /** Opens the file anew, after it was moved away; where that fails, the old one goes on. */
  reopen(): void
  end(): void
}

/**
 * Records of one turn of the event loop are written together at its end, and when the process exits, also for an error
 * that nobody caught. So a killed process (SIGKILL, out of memory) loses those of its last turn; what had been written
 * is whole. A line is what `createLog` would write of the record, without the search for keys in it: a record has none.
 * @throws the file system's error when the file cannot be opened
 */
export function openAuditFile({ path, worker, onFailure }: AuditFileOptions): AuditFile {
  const open = () => openSync(path, 'a', 0o600)
  const lineOf = lineFormat(worker)
  let file = open()
  let lines = ''
  /** Those that a write had begun with. */
  let begun: Buffer | undefined
  let isDue = false
  let isFailing = false

  function told(error: unknown): unknown {
    if (!isFailing) onFailure(error)
    isFailing = true
    return error
  }
  function flush(): void {
    try {
      while (begun !== undefined || lines !== '') {
        begun ??= Buffer.from(lines)
        lines = ''
        const written = writeSync(file, begun)
        begun = written < begun.length ? begun.subarray(written) : undefined
      }
      isFailing = false
    } catch (error) {
      throw told(error)
    }
  }
  /** Where nobody is there to be refused. */
  function flushQuietly(): void {
    try {
      flush()
    } catch {
      // it was told, and who comes next is refused until it succeeds
    }
  }
  process.on('exit', flushQuietly)

  return {
    write(event, fields) {
      if (isFailing) flush()
      lines += lineOf(event, fields)
      if (lines.length > MOST_WAITING) flush()
      if (isDue) return
      isDue = true
      setImmediate(() => {
        isDue = false
        flushQuietly()
      })
    },
    flush,
    reopen() {
      flushQuietly()
      try {
        const before = file
        file = open()
        closeSync(before)
      } catch (error) {
        onFailure(error)
      }
    },
    end() {
      flushQuietly()
      process.off('exit', flushQuietly)
      closeSync(file)
    },
  }
}

/** Characters of records: more than any turn has, unless it is a very long one. */
const MOST_WAITING = 1024 * 1024

/** `level`, `time`, `worker` where there are several, the fields, `event`: in this order, as the log has it. */
function lineFormat(worker: number | undefined) {
  const place = worker === undefined ? '' : `,"worker":${worker}`
  let at = Number.NaN
  let time = ''
  return (event: AuditEvent, fields: Readonly<Record<string, unknown>>): string => {
    const now = Date.now()
    if (now !== at) time = new Date(now).toISOString()
    at = now
    const members = JSON.stringify(fields).slice(1, -1)
    return `{"level":"info","time":"${time}"${place}${members === '' ? '' : `,${members}`},"event":"${event}"}\n`
  }
}
