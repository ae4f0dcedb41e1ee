import { parseFqdn } from './fqdn.ts'

/** What of a tel URI names a line. */
export interface TelUri {
  /** `+` and up to 15 digits, or the digits of a local number in lower case. */
  readonly number: string
  /** Where a local number is valid: a host name or a global prefix. Global numbers have none. */
  readonly phoneContext?: string
}

/**
 * Reads a tel URI, visual separators removed.
 * Reading: an extension or subaddress names somebody behind the line, so it is no public identity; other parameters
 * tell how to route, and are checked and dropped.
 * @returns undefined for anything else, a local number without its context among it
 * @see RFC 3966 clause 3
 */
export function parseTelUri(text: string): TelUri | undefined {
  const [, written, tail] = /^tel:([^;]+)((?:;.*)?)$/i.exec(text) ?? []
  const parameters = tail === undefined ? undefined : readParameters(tail)
  if (written === undefined || !parameters || parameters.has('ext') || parameters.has('isub')) return undefined
  const context = parameters.get('phone-context')
  if (written.startsWith('+')) {
    const number = globalNumber(written)
    return number === undefined || parameters.has('phone-context') ? undefined : { number }
  }
  const number = written.replace(SEPARATORS, '').toLowerCase()
  const phoneContext = context?.startsWith('+') ? globalNumber(context) : parseFqdn(context ?? '')
  return LOCAL.test(number) && phoneContext !== undefined ? { number, phoneContext } : undefined
}

const SEPARATORS = /[-.()]/g
const GLOBAL = /^\+[0-9]{1,15}$/
const LOCAL = /^[0-9a-f*#]{1,32}$/
const PARAMETER = /^([A-Za-z0-9-]+)(?:=((?:[A-Za-z0-9\-_.!~*'()[\]/:&+$]|%[0-9A-Fa-f]{2})+))?$/

function globalNumber(written: string): string | undefined {
  const number = written.replace(SEPARATORS, '')
  return GLOBAL.test(number) ? number : undefined
}

/** @param tail empty, or parameters each after a semicolon. @returns by name in lower case; undefined when one is malformed or repeated */
function readParameters(tail: string): ReadonlyMap<string, string> | undefined {
  const parameters = new Map<string, string>()
  for (const part of tail.split(';').slice(1)) {
    const [, name, value = ''] = PARAMETER.exec(part) ?? []
    if (name === undefined || parameters.has(name.toLowerCase())) return undefined
    parameters.set(name.toLowerCase(), value)
  }
  return parameters
}
