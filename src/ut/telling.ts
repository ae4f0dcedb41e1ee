import type { Impu } from '../core/identity.ts'
import { GbaError } from '../errors.ts'
import type { AppServerPolicy } from './app-server-policy.ts'
import type { Grant } from './authorise.ts'
import { type Disclosure, disclosureFinder } from './external.ts'
import { pairwisePseudonym } from './pseudonym.ts'

/** What one application server is told of a granted request. */
export interface Telling {
  readonly assertedIdentities: readonly Impu[]
  readonly intendedIdentity?: Impu
  /** Request target, as sent. */
  readonly target: string
  /** What a text would tell beyond that; absent within the trust domain. */
  readonly disclosure?: (text: string) => Disclosure | undefined
}

/**
 * Decides what an application server is told. Within the trust domain: all that was granted. Outside: one identity,
 * which is the pairwise pseudonym where the policy has it so, and a target that holds none of the subscriber's others.
 * A pseudonym takes the place of the subscriber's own XUI in the target; so all trees of one subscriber are one tree
 * there. Bodies are opaque: no search can tell what a document means.
 * @throws GbaError UT_IDENTITY_NOT_WITHHELD; RangeError for a policy that lacks something
 * @see 3GPP TS 33.222 clause 6.5 (Rel-17)
 */
export function tellingOf(grant: Grant, policy: AppServerPolicy): Telling {
  const { assertedIdentities, intendedIdentity, uri } = grant
  if (policy.trust !== 'external') {
    return { assertedIdentities, ...(intendedIdentity && { intendedIdentity }), target: targetAt(grant, policy) }
  }
  const pseudonym = policy.pseudonym === 'pairwise' ? pseudonymOf(grant, policy) : undefined
  const [asserted] = pseudonym === undefined ? assertedIdentities : [pseudonym]
  if (asserted === undefined) throw new TypeError('a grant that asserts nobody')
  if (pseudonym === undefined && grant.ownTree && uri.xui !== asserted) {
    notWithheld('the target has another public identity')
  }
  if (
    pseudonym !== undefined &&
    uri.xui !== undefined &&
    !grant.ownTree &&
    !uri.xui.endsWith(`@${hostOf(pseudonym)}`)
  ) {
    notWithheld('the target has the identity of a subscriber who has a pseudonym there')
  }
  const target = targetAt(grant, policy, grant.ownTree ? pseudonym : undefined)
  const known = new Set([...grant.identities, ...assertedIdentities, ...(grant.ownTree && uri.xui ? [uri.xui] : [])])
  known.delete(asserted)
  const { btid, impi, username } = grant
  const disclosure = disclosureFinder({ btid, impi, username, identities: [...known], told: [asserted] })
  for (const [what, text] of [
    ['asserted identity', asserted],
    ['target', target],
  ] as const) {
    const found = disclosure(text)
    if (found) notWithheld(`the ${what} has ${found}`)
  }
  return { assertedIdentities: [asserted], ...(intendedIdentity && { intendedIdentity: asserted }), target, disclosure }
}

/** The granted target under the server's own XCAP root; every octet behind the root stays, but for a pseudonym. */
function targetAt({ target, uri }: Grant, { xcapRoot = '', upstreamRoot = '' }: AppServerPolicy, pseudonym?: Impu) {
  const root = plainRoot(xcapRoot)
  const tree = `${root}/${uri.auid}/${uri.tree}/`
  if (!target.startsWith(tree)) throw new TypeError('a grant under another XCAP root')
  const newRoot = upstreamRoot === '' ? root : plainRoot(upstreamRoot)
  if (pseudonym === undefined) return newRoot + target.slice(root.length)
  const rest = target.slice(tree.length)
  const [xui = ''] = rest.split('/', 1)
  return `${newRoot}${tree.slice(root.length)}${spelledLike(xui, pseudonym)}${rest.slice(xui.length)}`
}

/** A pseudonym with its delimiters escaped where the UE escapes its own. */
function spelledLike(xui: string, pseudonym: Impu): string {
  const [colon = ':'] = /:|%3a/i.exec(xui) ?? []
  const [at = colon === ':' ? '@' : '%40'] = /@|%40/i.exec(xui) ?? []
  return pseudonym.replace(':', colon).replace('@', at)
}

function plainRoot(path: string): string {
  const root = path.endsWith('/') ? path.slice(0, -1) : path
  if (!/^(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/.test(root)) throw new RangeError('XCAP root is not a plain path')
  return root
}

function pseudonymOf(grant: Grant, { pseudonymKey, pseudonymDomain }: AppServerPolicy): Impu {
  if (!pseudonymKey || !pseudonymDomain) throw new RangeError('pairwise pseudonyms need a key and a domain')
  return pairwisePseudonym(pseudonymKey, grant.subscriber, grant.appServer, pseudonymDomain)
}

const hostOf = (impu: Impu): string => impu.slice(impu.indexOf('@') + 1)

function notWithheld(detail: string): never {
  throw new GbaError('UT_IDENTITY_NOT_WITHHELD', detail)
}
