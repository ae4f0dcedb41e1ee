import type { IncomingHttpHeaders } from 'node:http'
import { faultOfFixedHeader } from '../core/header-names.ts'
import { headerValues, type RawHeaders } from '../core/headers.ts'
import type { Impu } from '../core/identity.ts'
import { formatFlags, formatIdentities } from '../core/identity-header.ts'
import { marker } from '../core/mark.ts'
import { GbaError } from '../errors.ts'
import type { AppServerPolicy } from './app-server-policy.ts'
import { type Grant, isGrant } from './authorise.ts'
import { changesMeaning, type HeaderTraits, traitsOf } from './header-names.ts'
import { type Telling, tellingOf } from './telling.ts'

export type { AppServerPolicy, IdentityHeaderName } from './app-server-policy.ts'

/** What only the proxy knows of the message it sends. */
export interface Framing {
  /** Octets of the body; undefined: no body, and no Content-Length. */
  readonly contentLength?: number | undefined
  /** Host that the UE addressed, verified. */
  readonly host: string
  readonly requestId: string
}

declare const proof: unique symbol

/** Header fields by name in lower case; several lines of one name are an array. Only `prepare` can make them. */
export type OutgoingHeaders = Readonly<Record<string, string | string[]>> & { readonly [proof]: true }

/** A granted request as one application server gets it; the body goes with it as it came. */
export interface Outgoing {
  readonly target: string
  readonly headers: OutgoingHeaders
}

const prepared = marker<{ readonly grant: Grant; readonly target: string }>()

/** The target that belongs to these very headers and this very grant; undefined when `prepare` did not make them. */
export function preparedTarget(headers: OutgoingHeaders, grant: Grant): string | undefined {
  const its = prepared.markOf(headers)
  return its?.grant === grant ? its.target : undefined
}

/**
 * Refuses a request in which the UE asserts an identity or flags itself, in any spelling that a server could take for
 * the real header. To drop them would be safe too; a UE that sends them is faulty or hostile, and should hear of it.
 * @throws GbaError UT_IDENTITY_HEADER_FORBIDDEN
 * @see 3GPP TS 24.109 clause 7.2 (Rel-17)
 */
export function inspectIdentityHeaders(received: RawHeaders): void {
  for (let i = 0; i + 1 < received.length; i += 2) {
    const name = received[i] ?? ''
    if (traitsOf(name).claimsIdentity) throw new GbaError('UT_IDENTITY_HEADER_FORBIDDEN', `the UE sent ${name}`)
  }
}

/**
 * Makes of a granted request what is sent. Dropped: credentials, cookies, hop-by-hop headers and whatever Connection
 * names, every header by which a server might learn another user, address, path or method, names with unusual
 * characters, and every value that holds the private identity or the B-TID. Everything else passes within the trust
 * domain, since application servers and their clients have headers of their own; outside only a closed list does, and
 * of that nothing that tells more than the server is told. Ours are written last, so that nothing the UE sends can
 * remove them. No two application servers share a cookie, since none passes either way.
 * Reading: no Via is added, though RFC 9110 clause 7.6.3 wants one of a gateway: the golden request has none, and a
 * server that is also a SIP server may take it for SIP's.
 * @param policy    of the application server of the grant: where it has a name, that is checked
 * @param received  name, value, name, value, … as they came
 * @throws GbaError UT_REQUEST_MALFORMED for a repeated header that has one value, UT_IDENTITY_MALFORMED for an identity
 *   that the server's form cannot carry, UT_IDENTITY_NOT_WITHHELD where the server would learn too much from the target
 *   or from a header that cannot be left out; TypeError without a grant; RangeError for a policy that is none
 * @see 3GPP TS 24.109 clause 7.2 (Rel-17)
 */
export function prepare(
  grant: Grant,
  policy: AppServerPolicy & { readonly name?: string },
  received: RawHeaders,
  framing: Framing,
): Outgoing {
  if (!isGrant(grant)) throw new TypeError('headers for a request that nobody granted')
  if (policy.name !== undefined && policy.name !== grant.appServer) {
    throw new TypeError(`a grant for ${grant.appServer}, and the policy of ${policy.name}`)
  }
  const telling = tellingOf(grant, policy)
  const { target } = telling
  const headers = passedHeaders(received, grant, telling)
  // In the place of what the UE sent under these names.
  Object.assign(headers, fixedHeaders(policy))
  headers.host = policy.hostHeader === 'preserve' ? framing.host : policy.authority
  if (framing.contentLength !== undefined) headers['content-length'] = String(framing.contentLength)
  headers['x-request-id'] = framing.requestId
  addIdentity(headers, grant, telling, policy)
  const made = Object.freeze(prepared.mark(headers, { grant, target })) as unknown as OutgoingHeaders
  return { target, headers: made }
}

/** The headers of `prepare` alone; the target that goes with them is remembered. */
export const outgoingHeaders = (
  received: RawHeaders,
  grant: Grant,
  policy: AppServerPolicy,
  framing: Framing,
): OutgoingHeaders => prepare(grant, policy, received, framing).headers

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

const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/

/** What the values of Connection name; undefined: nothing that is not dropped anyway. */
function namedBy(values: readonly string[]): ReadonlySet<string> | undefined {
  if (values.every((value) => /^(?:keep-alive)?$/i.test(value))) return undefined
  return new Set(values.flatMap((value) => value.toLowerCase().split(',')).map((option) => option.trim()))
}

/** Those of the UE, by name in lower case: an object that nobody else has yet. */
function passedHeaders(received: RawHeaders, grant: Grant, { disclosure }: Telling): Record<string, string | string[]> {
  const named = namedBy(headerValues(received, 'connection'))
  const isPrivate = privateIdentityFinder(grant)
  const passed: Record<string, string | string[]> = {}
  for (let i = 0; i + 1 < received.length; i += 2) {
    const value = received[i + 1] ?? ''
    const traits = traitsOf(received[i] ?? '')
    const { key } = traits
    if (!traits.forwardable || named?.has(key) || !FIELD_VALUE.test(value)) continue
    if (disclosure ? !passesOutside(traits, value, disclosure) : isPrivate(value)) continue
    const before = Object.hasOwn(passed, key) ? passed[key] : undefined
    if (before === undefined) passed[key] = value
    else if (traits.single) throw new GbaError('UT_REQUEST_MALFORMED', `${key} is there twice`)
    else if (typeof before === 'string') passed[key] = [before, value]
    else before.push(value)
  }
  return passed
}

function passesOutside(
  { key, passedOutside }: HeaderTraits,
  value: string,
  disclosure: NonNullable<Telling['disclosure']>,
): boolean {
  if (!passedOutside) return false
  const found = disclosure(value)
  if (found && changesMeaning(key)) throw new GbaError('UT_IDENTITY_NOT_WITHHELD', `${key} has ${found}`)
  return !found
}

const checkedFixedHeaders = new WeakMap<object, Record<string, string>>()

function fixedHeaders({ fixedHeaders: configured = NONE }: AppServerPolicy): Record<string, string> {
  const checked = checkedFixedHeaders.get(configured)
  if (checked) return checked
  const entries = Object.entries(configured).map(([name, value]) => {
    const fault = faultOfFixedHeader(name, value)
    if (fault) throw new RangeError(`fixed header ${name} ${fault}`)
    return [name.toLowerCase(), value] as const
  })
  const fixed = Object.fromEntries(entries)
  checkedFixedHeaders.set(configured, fixed)
  return fixed
}

const NONE = {}

function addIdentity(
  headers: Record<string, string | string[]>,
  { flags }: Grant,
  { assertedIdentities, intendedIdentity }: Telling,
  policy: AppServerPolicy,
): void {
  for (const name of policy.identityHeader) {
    headers[traitsOf(name).key] =
      name === 'P-Asserted-Identity'
        ? bracketed(assertedIdentities)
        : policy.identityQuoted
          ? formatIdentities(assertedIdentities)
          : bare(assertedIdentities)
  }
  if (policy.authorisationFlags && flags.length > 0) headers['x-3gpp-authorization-flags'] = formatFlags(flags)
  if (policy.forwardIntendedIdentity && intendedIdentity !== undefined) {
    headers['x-3gpp-intended-identity'] = formatIdentities([intendedIdentity])
  }
}

/** Without quotation marks a comma in an identity would end it. */
function bare(identities: readonly Impu[]): string {
  if (identities.some((impu) => impu.includes(','))) {
    throw new GbaError('UT_IDENTITY_MALFORMED', 'an identity with a comma cannot be asserted without quotation marks')
  }
  return identities.join(',')
}

/** At most one SIP and one tel URI. @see RFC 3325 clause 9.1 */
function bracketed(identities: readonly Impu[]): string {
  const sip = identities.find((impu) => !impu.startsWith('tel:'))
  const tel = identities.find((impu) => impu.startsWith('tel:'))
  return identities
    .filter((impu) => impu === sip || impu === tel)
    .map((impu) => `<${impu}>`)
    .join(', ')
}

/** Finds the IMPI, the IMSI in it, and the random part of the B-TID, raw or percent-encoded, in any letter case. */
function privateIdentityFinder({ btid, impi, username }: Grant): (value: string) => boolean {
  const rand = btid?.split('@', 1)[0]
  const imsi = /^[0-9]{14,15}(?=@)/.exec(impi ?? '')?.[0]
  const needles = [rand, impi, imsi, username].flatMap((needle) => (needle ? [needle.toLowerCase()] : []))
  const shortest = Math.min(...needles.map(({ length }) => length))
  return (value) => {
    // What is shorter cannot hold one, and gets no longer by decoding.
    if (value.length < shortest) return false
    const forms = [value.toLowerCase()]
    for (let form = value; form.includes('%') && forms.length < 4; ) {
      form = form.replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
      forms.push(form.toLowerCase())
    }
    return forms.some((form) => needles.some((needle) => form.includes(needle)))
  }
}
