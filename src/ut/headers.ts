import { faultOfFixedHeader } from '../core/header-names.ts'
import { headerValues, type RawHeaders } from '../core/headers.ts'
import type { Impu } from '../core/identity.ts'
import { formatFlags, formatIdentities } from '../core/identity-header.ts'
import { marker } from '../core/mark.ts'
import { GbaError } from '../errors.ts'
import type { AppServerPolicy } from './app-server-policy.ts'
import { type Grant, isGrant } from './authorise.ts'
import { changesMeaning, type HeaderTraits, traitsOf } from './header-names.ts'
import { FIELD_VALUE, namedBy } from './returned-headers.ts'
import { type Telling, tellingOf } from './telling.ts'

export type { AppServerPolicy, IdentityHeaderName } from './app-server-policy.ts'
export { incomingHeaders, returnedFields } from './returned-headers.ts'

/** What only the proxy knows of the message it sends. */
export interface Framing {
  /** Octets of the body; undefined: no body, and no Content-Length. */
  readonly contentLength?: number | undefined
  /** Host that the UE addressed, verified. */
  readonly host: string
  readonly requestId: string
  /** undefined: the server is told of no trace. */
  readonly traceparent?: string | undefined
}

declare const proof: unique symbol

/** Header fields by name in lower case; several lines of one name are an array. Only `prepare` can make them. */
export type OutgoingHeaders = Readonly<Record<string, string | string[]>> & { readonly [proof]: true }

/** A granted request as one application server gets it; the body goes with it as it came. */
export interface Outgoing {
  readonly target: string
  readonly headers: OutgoingHeaders
}

/** What belongs to headers that were prepared. */
interface Prepared {
  readonly grant: Grant
  readonly target: string
  /** Their text before and behind the request id, once somebody has asked for it. */
  text: readonly [before: string, behind: string] | undefined
}

const prepared = marker<Prepared>()

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
  headers[REQUEST_ID] = framing.requestId
  if (framing.traceparent !== undefined) headers.traceparent = framing.traceparent
  addIdentity(headers, grant, telling, policy)
  const made = Object.freeze(prepared.mark(headers, { grant, target, text: undefined })) as unknown as OutgoingHeaders
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
 * The same headers for a request that is like the one they were prepared for in everything but its id.
 * @throws TypeError for headers that `prepare` did not make
 * @see 3GPP TS 24.109 clause 7.2 (Rel-17)
 */
export function preparedAgain(headers: OutgoingHeaders, requestId: string): OutgoingHeaders {
  const its = prepared.markOf(headers)
  if (!its) throw new TypeError('headers that nobody prepared')
  return Object.freeze(prepared.mark({ ...headers, [REQUEST_ID]: requestId }, its))
}

const REQUEST_ID = 'x-request-id'

/**
 * Request line and header fields as HTTP/1.1 sends them, the empty line included: for a lane that writes to its own
 * connection. Host comes first; framing is what `prepare` was told. Every part is looked at once more, since one line end
 * too many would be another request.
 * @param target  of `preparedTarget`
 * @returns characters of U+0000..U+00FF, each one octet
 * @throws TypeError for headers that `prepare` did not make, or not for this method and target; for any octet that would
 *   end a line, and any name or target that would end early
 * @see RFC 9112 clause 3
 */
export function headTextOf(method: string, target: string, headers: OutgoingHeaders): string {
  const its = prepared.markOf(headers)
  if (its?.grant.method !== method || its.target !== target) throw new TypeError('a request that nobody prepared')
  its.text ??= textAround(REQUEST_ID, method, target, headers)
  const [before, behind] = its.text
  return before + fieldOf(REQUEST_ID, headers[REQUEST_ID]) + behind
}

/** Request line and fields with the empty line, and where that field would be, the end of the first part. */
function textAround(left: string, method: string, target: string, headers: OutgoingHeaders): [string, string] {
  if (!NAME.test(method) || !TARGET.test(target)) throw new TypeError('a request line that is none')
  let before = ''
  let head = `${method} ${target} HTTP/1.1\r\n${fieldOf('host', headers.host)}`
  for (const name of Object.keys(headers)) {
    if (name === left) {
      before = head
      head = ''
    } else if (name !== 'host') head += fieldOf(name, headers[name])
  }
  return [before, `${head}\r\n`]
}

const NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const TARGET = /^[\x21-\x7e]+$/

function fieldOf(name: string, value: string | string[] | undefined): string {
  if (typeof value !== 'string') return (value ?? []).map((line) => fieldOf(name, line)).join('')
  if (!NAME.test(name) || !FIELD_VALUE.test(value)) throw new TypeError('a header field that is none')
  return `${name}: ${value}\r\n`
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
  const needles: string[] = []
  const rand = btid?.split('@', 1)[0]
  if (rand) needles.push(rand.toLowerCase())
  // An IMSI in front of the domain is found wherever the whole is, and alone.
  if (impi) needles.push((/^[0-9]{14,15}(?=@)/.exec(impi)?.[0] ?? impi).toLowerCase())
  if (username) needles.push(username.toLowerCase())
  let shortest = Number.POSITIVE_INFINITY
  for (const { length } of needles) if (length < shortest) shortest = length
  const shows = (text: string): boolean => {
    const form = text.toLowerCase()
    for (const needle of needles) if (form.includes(needle)) return true
    return false
  }
  return (value) => {
    // What is shorter cannot hold one, and gets no longer by decoding.
    if (value.length < shortest) return false
    if (shows(value)) return true
    for (let form = value, layers = 0; form.includes('%') && layers < MOST_LAYERS; layers++) {
      form = form.replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
      if (shows(form)) return true
    }
    return false
  }
}

/** Of percent-encoding that are taken off. */
const MOST_LAYERS = 3
