import type { IncomingMessage } from 'node:http'
import { UeError } from './fault.ts'
import type { UeResponseMessage } from './message.ts'

/**
 * The whole answer.
 * @param limit  octets of its body
 * @throws UeError ANSWER_TOO_LARGE, and what the connection has to say
 */
export async function receive(response: IncomingMessage, limit: number): Promise<UeResponseMessage> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > limit) throw new UeError('ANSWER_TOO_LARGE', `the answer is larger than ${limit} octets`)
    chunks.push(chunk)
  }
  return { ...headOf(response), body: new Uint8Array(Buffer.concat(chunks)) }
}

/** Status line and header fields, as they came. */
export function headOf({
  statusCode = 0,
  statusMessage = '',
  rawHeaders,
}: IncomingMessage): Omit<UeResponseMessage, 'body'> {
  const headers = rawHeaders.flatMap((name, i): [string, string][] => (i % 2 ? [] : [[name, rawHeaders[i + 1] ?? '']]))
  return { status: statusCode, reason: statusMessage, headers }
}
