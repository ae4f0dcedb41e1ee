import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { FAULTS, type FaultCode } from '../../errors.ts'
import { UsageError } from '../options.ts'

/** One line of the audit stream, as far as it is understood. */
export interface AuditLine {
  readonly event: string
  readonly at: number | undefined
  readonly code: FaultCode | undefined
  /** Everything else that the record says. */
  readonly members: Readonly<Record<string, unknown>>
}

/**
 * The records of one request, in the order in which they were written. Lines that are no records are passed over: the
 * log may run in the same stream, and the last line may be cut short.
 * @param requestId  as the UE was told it, with or without `urn:uuid:`
 * @throws UsageError when the file cannot be read
 */
export async function recordsOf(file: string, requestId: string): Promise<AuditLine[]> {
  const id = requestId.replace(/^urn:uuid:/, '')
  const found: AuditLine[] = []
  try {
    for await (const line of createInterface({
      input: createReadStream(file, 'utf8'),
      crlfDelay: Number.POSITIVE_INFINITY,
    })) {
      const record = line.includes(id) ? recordOf(line) : undefined
      if (record?.members.requestId === id) found.push(record)
    }
  } catch (cause) {
    throw new UsageError(`${file}: cannot be read`, { cause })
  }
  return found
}

function recordOf(line: string): AuditLine | undefined {
  try {
    const value: unknown = JSON.parse(line)
    if (typeof value !== 'object' || value === null || !('event' in value) || typeof value.event !== 'string')
      return undefined
    const { event, level: _, time, code, ...members } = value as Record<string, unknown>
    const at = typeof time === 'number' ? time : Date.parse(String(time))
    return {
      event: String(event),
      at: Number.isNaN(at) ? undefined : at,
      code: typeof code === 'string' && Object.hasOwn(FAULTS, code) ? (code as FaultCode) : undefined,
      members,
    }
  } catch {
    return undefined
  }
}
