import { parseCredentials } from '../core/auth-params.ts'
import { type DigestCredentials, parseAuthorization } from '../core/digest-header.ts'
import { type Fqdn, parseBtid } from '../core/identity.ts'
import { realmOf } from './challenge.ts'
import { type Finding, finding } from './finding.ts'
import { methodOf } from './guess.ts'

/** A request as far as it can be judged without a key. */
export interface Comparable {
  /** Request target, undecoded. */
  readonly target: string
  /** https unless said otherwise. */
  readonly scheme?: 'https' | 'http'
  /** Host as the request has it, with its port. */
  readonly host: string
  readonly nafFqdn: Fqdn
  /** Every Authorization line. */
  readonly authorization: readonly string[]
}

/** The credentials, or what is wrong with their form. */
export function credentialsOf(authorization: readonly string[]): DigestCredentials | Finding {
  const [header, ...more] = authorization
  if (header === undefined) return finding('credentials-missing', 'The request has no Authorization header.')
  const malformed = (says: string) => finding('credentials-malformed', says)
  if (more.length > 0) return malformed(`There are ${authorization.length} Authorization headers.`)
  const credentials = parseAuthorization(header)
  if (credentials) return credentials
  const params = parseCredentials(header, 'digest')
  if (!params) {
    return malformed(
      'Authorization is no list of Digest parameters: one is there twice, or a quotation mark or a comma is missing.',
    )
  }
  const absent = (names: readonly string[]) => names.filter((name) => !params.has(name)).join(', ')
  const missing = absent(['username', 'realm', 'nonce', 'uri', 'response'])
  if (missing !== '') return malformed(`Authorization lacks ${missing}.`)
  const half = params.has('qop') ? absent(['nc', 'cnonce']) : ''
  if (half !== '') return malformed(`Authorization has qop and lacks ${half}.`)
  return malformed('In Authorization the value of algorithm, qop, nc or userhash is none that Digest knows.')
}

/** What differs between credentials and request, in the order in which the AP looks. */
export function compare(request: Comparable, credentials: DigestCredentials): Finding[] {
  const { target, nafFqdn } = request
  const { realm, uri, username, response, qop } = credentials
  const [wrong] = realm.split(';').filter((part) => methodOf(part, nafFqdn) === undefined)
  const right = realmOf('gba-me', nafFqdn)
  return [
    ...(wrong === undefined
      ? []
      : [finding('realm-wrong', `The realm is ${wrong}, not ${right}: ${realmFault(wrong, request)}.`)]),
    ...(qop === undefined
      ? [finding('form', 'Authorization has no qop; such a request could be replayed, and is refused.')]
      : []),
    ...(uri === target
      ? []
      : [
          finding(
            'uri-mismatch',
            `The uri in Authorization is ${uri}, the request target ${target}: ${uriFault(uri, request)}.`,
          ),
        ]),
    ...(parseBtid(username) ? [] : [finding('btid-wrong', `The username ${username} is no B-TID.`)]),
    ...(response === response.toLowerCase()
      ? []
      : [finding('form', 'The response is written in upper-case letters, where hexadecimal digits are lower-case.')]),
  ]
}

function realmFault(realm: string, { nafFqdn, host }: Comparable): string {
  const at = realm.indexOf('@')
  if (at < 0) return realm === nafFqdn ? 'the prefix 3GPP-bootstrapping@ is missing' : 'it is no realm of GBA'
  const [prefix, name] = [realm.slice(0, at), realm.slice(at + 1)]
  if (!/^3GPP-bootstrapping(?:-uicc|-digest)?$/.test(prefix)) return `${prefix} is no prefix of GBA`
  if (name.toLowerCase() === nafFqdn) return 'the letter case of the host differs'
  if (name === host || name.startsWith(`${nafFqdn}:`)) return 'the port does not belong there'
  return `it names the host ${name}, and the UE addressed ${nafFqdn}`
}

function uriFault(uri: string, { target, scheme = 'https', host }: Comparable): string {
  if (uri === `${target}/`) return 'it has a slash more at its end, which the tolerance uri-trailing-slash takes'
  const absolute = `${scheme}://${host}${target}`
  if (uri.toLowerCase() === absolute.toLowerCase())
    return 'it is the absolute form, which the tolerance uri-absolute takes'
  if (uri === decoded(target)) return 'it is the target with its escapes resolved'
  if (decoded(uri) === decoded(target)) return 'the two are escaped differently'
  if (target.startsWith(`${uri}?`)) return 'the query is missing'
  return 'they differ'
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
