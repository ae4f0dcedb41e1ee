import { foldName } from '../core/header-names.ts'
import { headerValues, type RawHeaders } from '../core/headers.ts'
import { parseFqdn } from '../core/identity.ts'
import { ianaSuite } from '../core/openssl-suites.ts'
import { plainAddress } from './addresses.ts'
import type { FrontFacts } from './front.ts'

/** Headers by which a front tells what it knows; an empty name is not looked for. */
export interface FrontHeaderNames {
  /** An IP address, or a list of which the front wrote the last: `X-Forwarded-For`. */
  readonly client: string
  /** Host name of the client's SNI. */
  readonly sni: string
  /** Cipher suite, as `ianaSuite` reads it. */
  readonly suite: string
}

/**
 * What a front tells of one request, by headers of these names. Only a listed front may be asked: anybody can send
 * them. An empty header tells nothing; one that comes twice was written by two, and one of them may be the client.
 * @param raw as received
 * @returns `tls` is there when the suite is, without a version
 * @see RFC 7239 section 8.1 (2014)
 */
export function readFrontHeaders(raw: RawHeaders, names: FrontHeaderNames): FrontFacts | 'malformed' {
  const client = lineOf(raw, names.client)
  const sni = lineOf(raw, names.sni)
  const suite = lineOf(raw, names.suite)
  if (client === undefined || sni === undefined || suite === undefined || !SUITE_NAME.test(suite)) return 'malformed'
  const source = client === '' ? {} : sourceOf(client)
  const serverName = sni === '' ? '' : parseFqdn(sni)
  if (!source || serverName === undefined) return 'malformed'
  return {
    ...source,
    ...(serverName !== '' && { serverName }),
    ...(suite !== '' && { tls: { version: undefined, suite: ianaSuite(suite) } }),
  }
}

/** The headers of a request without those of the front, in any spelling: no application server needs to see them. */
export function withoutFrontHeaders(raw: RawHeaders, names: FrontHeaderNames): string[] {
  const folded = new Set(Object.values(names).map(foldName))
  folded.delete('')
  return raw.filter((_, i) => !folded.has(foldName(raw[i - (i % 2)] ?? '')))
}

const SUITE_NAME = /^[A-Za-z0-9_-]{0,64}$/

/** Empty where the header is not there; undefined where it is malformed. */
function lineOf(raw: RawHeaders, name: string): string | undefined {
  const [value = '', ...more] = name === '' ? [] : headerValues(raw, name.toLowerCase())
  return more.length > 0 ? undefined : value
}

/** The last of a list: those before it are hearsay. Some balancers add the port. */
function sourceOf(list: string): Pick<FrontFacts, 'clientAddress' | 'clientPort'> | undefined {
  const last = list.slice(list.lastIndexOf(',') + 1).replace(/^[ \t]+/, '')
  const [, address = last, digits] =
    /^([\d.]+):(\d{1,5})$/.exec(last) ?? /^\[([\da-f:.]+)\](?::(\d{1,5}))?$/i.exec(last) ?? []
  const clientAddress = address.includes('%') ? undefined : plainAddress(address)
  if (clientAddress === undefined || Number(digits ?? 0) > 0xffff) return undefined
  return { clientAddress, ...(digits !== undefined && { clientPort: Number(digits) }) }
}
