import type { IncomingHttpHeaders } from 'node:http'
import type { RawHeaders } from '../core/headers.ts'
import { headerValues } from '../core/headers.ts'
import { traitsOf } from './header-names.ts'

/**
 * The headers of an application server's answer that reach the UE. Challenges and identities are the proxy's business;
 * cookies are dropped as those of the request are. ETag, Content-* and the rest pass untouched.
 * @param received  by name, as an HTTP client gives them
 * @see 3GPP TS 24.109 clause 7.2 (Rel-17)
 */
export function incomingHeaders(received: IncomingHttpHeaders): IncomingHttpHeaders {
  const { connection = [] } = received
  const named = namedBy(typeof connection === 'string' ? [connection] : connection)
  const passed: IncomingHttpHeaders = {}
  for (const name of Object.keys(received)) {
    const value = received[name]
    const { key, returnable } = traitsOf(name)
    if (value === undefined || !returnable || named?.has(key)) continue
    const isGood = typeof value === 'string' ? FIELD_VALUE.test(value) : value.every((line) => FIELD_VALUE.test(line))
    if (isGood) passed[key] = value
  }
  return passed
}

/**
 * The same of fields as they came on the wire: for a lane that reads its own connection. Content-Length passes, as it
 * does there, and Transfer-Encoding does not; a field with one line that no header can carry is dropped with all of them.
 * @param received  name, value, name, value, …, an octet each character
 * @returns name in lower case, value, …, in the order in which they came
 * @see 3GPP TS 24.109 clause 7.2 (Rel-17)
 */
export function returnedFields(received: RawHeaders): string[] {
  const named = namedBy(headerValues(received, 'connection'))
  const passed: string[] = []
  const bad = new Set<string>()
  for (let i = 0; i + 1 < received.length; i += 2) {
    const value = received[i + 1] ?? ''
    const { key, returnable } = traitsOf(received[i] ?? '')
    if (!returnable || named?.has(key)) continue
    if (FIELD_VALUE.test(value)) passed.push(key, value)
    else bad.add(key)
  }
  return bad.size === 0 ? passed : passed.filter((_, i) => !bad.has(passed[i - (i % 2)] ?? ''))
}

/** What a field value may hold, one character for an octet. @see RFC 9110 clause 5.5 */
export const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/** What the values of Connection name; undefined: nothing that is not dropped anyway. */
export function namedBy(values: readonly string[]): ReadonlySet<string> | undefined {
  if (values.every((value) => /^(?:keep-alive)?$/i.test(value))) return undefined
  return new Set(values.flatMap((value) => value.toLowerCase().split(',')).map((option) => option.trim()))
}
