import type { Uss } from '../core/guss.ts'
import { type Btid, type Impi, type Impu, isTemporaryImpu } from '../core/identity.ts'
import { marker } from '../core/mark.ts'
import { WeakMemo } from '../core/memo.ts'
import { isWildcarded, wildcardMatcher } from '../core/wildcard.ts'
import { type FaultCode, GbaError } from '../errors.ts'
import type { XcapUri } from './xcap-uri.ts'

/** What authentication proved: who it is, and the settings of that subscriber. */
export interface Subject {
  /** Absent where the BSF does not give it out. */
  readonly impi?: Impi
  /** Absent where the subscriber came without a bootstrap. */
  readonly btid?: Btid
  /** The name that goes with a password. */
  readonly username?: string
  readonly ussList: readonly Uss[]
}

/**
 * Whose documents a subscriber may touch. `owner`: its own tree, and the global one for reading. `owner-write`: every
 * tree for reading, its own for writing. `as-decides`: the application server checks.
 */
export type Ownership = 'owner' | 'owner-write' | 'as-decides'

export interface RoutePolicy {
  /** Name of the application server that the grant is for. */
  readonly appServer: string
  /** GAA service identifiers whose USS lists the identities for this route. None: nobody has access. */
  readonly gsids: readonly number[]
  /** GAA service types accepted in the place of a GSID. To be absent where the tolerance `uss-id-is-type` is off. */
  readonly gsTypes?: readonly number[]
  readonly ownership: Ownership
  /** Exceptions by AUID, letter case ignored: a server that ignores it too must not offer a way round a stricter rule. */
  readonly ownershipByAuid?: Readonly<Record<string, Ownership>>
  /** What to assert when the UE names no identity: one, or all that the USS lists. Default: one. */
  readonly assert?: 'one' | 'all'
  /**
   * Whom a UE acts as that names nobody: `xui`, the owner of the tree where that is the subscriber itself, or `first`,
   * the first identity of the USS. Default: xui.
   */
  readonly defaultIdentity?: 'xui' | 'first'
}

export type GrantTolerance = 'uss-id-is-type'

declare const proof: unique symbol

/** Proof that one request may go to one application server; only `authorise` can make one. */
export interface Grant {
  readonly [proof]: true
  readonly appServer: string
  readonly method: string
  readonly target: string
  readonly uri: XcapUri
  /** At least one; the first is the one acted under. */
  readonly assertedIdentities: readonly Impu[]
  readonly flags: readonly number[]
  /** The tree is the subscriber's own. */
  readonly ownTree: boolean
  /** What the UE asked to act under, if it did. */
  readonly intendedIdentity?: Impu
  /** Never to be forwarded; here so that forwarding can look for it. */
  readonly btid?: Btid
  /** As `btid`. */
  readonly impi?: Impi
  /** As `btid`; absent, too, where it is no secret, since it is one of the public identities. */
  readonly username?: string
  /** As `btid`: every public identity that the subscriber is known to have, wildcarded and temporary ones too. */
  readonly identities: readonly Impu[]
  /**
   * As `btid`: names the subscriber, in every bootstrap alike: the IMPI, or else all identities of the USSs. One of them
   * would not do, since two subscribers may share it and not the others.
   */
  readonly subscriber: string
  readonly tolerances: readonly GrantTolerance[]
}

const grants = marker<true>()

/** Whether this very value came from `authorise`: the compiler can be talked round, this cannot. */
export const isGrant = (value: unknown): value is Grant =>
  typeof value === 'object' && value !== null && grants.markOf(value) === true

/**
 * Decides whether a subscriber may do this to this document, and as whom the application server will see it.
 * Temporary identities are never allowed ones, whatever the USS lists; barred ones it does not list. A wildcarded
 * identity allows those that match it, and only what the UE named itself is asserted of them. NAF groups and GSIDs of
 * other services are the BSF's business: what this NAF may not see is not in the subject.
 * Reading: an intended identity is always verified, where clause 7.2 only permits it, and then asserted alone.
 * Reading: without one, the XUI is asserted if it is the subscriber's own, so that a server that compares them finds
 * it; otherwise the first identity of the USS, wildcarded ones left out.
 * Reading: the XUI may be another identity of the same subscriber than the intended one.
 * @param method    as received; what is not GET or HEAD writes
 * @param intended  the verified syntax of X-3GPP-Intended-Identity, undefined when the UE sent none
 * @throws GbaError UT_USS_MISSING, UT_IMPU_NOT_OWNED, UT_TREE_NOT_OWNED, UT_GLOBAL_READ_ONLY
 * @see 3GPP TS 24.109 clause 7.2 (Rel-17)
 */
export function authorise(
  subject: Subject,
  uri: XcapUri,
  method: string,
  intended: Impu | undefined,
  policy: RoutePolicy,
): Grant {
  const { ussList, btid, impi } = subject
  const { uids, allowed, owns, flags, identities, tolerances } = standingOf(ussList, policy)
  if (intended !== undefined && !owns(intended)) {
    refuse('UT_IMPU_NOT_OWNED', `intended identity ${intended} is not the subscriber's`)
  }
  const own = uri.xui !== undefined && owns(uri.xui) ? uri.xui : undefined
  requireAccess(uri, own !== undefined, method, ownershipOf(uri.auid, policy))
  const [first] = allowed
  const asserted = intended ?? (policy.defaultIdentity === 'first' ? (first ?? own) : (own ?? first))
  if (asserted === undefined) refuse('UT_USS_MISSING', 'only wildcarded identities, and the UE names none of theirs')
  const alone = intended !== undefined || policy.assert !== 'all'
  const assertedIdentities = Object.freeze(alone ? [asserted] : unique([asserted, ...allowed]))
  const grant: Writable<Omit<Grant, typeof proof>> = {
    appServer: policy.appServer,
    method,
    target: uri.target,
    uri,
    assertedIdentities,
    flags,
    ownTree: own !== undefined,
    identities,
    subscriber: impi === undefined ? `impus ${uids.toSorted().join(' ')}` : `impi ${impi}`,
    tolerances,
  }
  if (intended !== undefined) grant.intendedIdentity = intended
  if (btid !== undefined) grant.btid = btid
  if (impi !== undefined) grant.impi = impi
  if (isSecretName(subject.username, uids)) grant.username = subject.username
  return Object.freeze(grants.mark(grant, true)) as Grant
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/** What of a decision is the same for every request of one subscriber on one route. */
interface Standing {
  readonly policy: RoutePolicy
  /** Of the settings that count here. */
  readonly uids: readonly Impu[]
  /** Those of them that can be asserted. */
  readonly allowed: readonly Impu[]
  readonly owns: (impu: Impu) => boolean
  readonly flags: readonly number[]
  /** Of all settings. */
  readonly identities: readonly Impu[]
  readonly tolerances: readonly GrantTolerance[]
}

/**
 * Made once for settings that are used again and again, as long as they are the same list, on the same route: new
 * settings are a new list, and a new configuration has new routes.
 * @throws GbaError UT_USS_MISSING
 */
function standingOf(ussList: readonly Uss[], policy: RoutePolicy): Standing {
  const known = standings.get(ussList)
  if (known?.policy === policy) return known
  const { settings, tolerances } = applicableSettings(ussList, policy)
  const uids = unique(settings.flatMap((uss) => uss.uids))
  const allowed = uids.filter((impu) => !isTemporaryImpu(impu) && !isWildcarded(impu))
  if (uids.every(isTemporaryImpu)) {
    refuse('UT_USS_MISSING', `no public identity for GSID ${policy.gsids.join(', ')}`)
  }
  const standing: Standing = {
    policy,
    uids,
    allowed,
    owns: ownershipTest(allowed, uids),
    flags: Object.freeze(unique(settings.flatMap((uss) => uss.flags))),
    identities: Object.freeze(unique(ussList.flatMap((uss) => uss.uids))),
    tolerances: Object.freeze(tolerances),
  }
  standings.keep(ussList, standing)
  return standing
}

const standings = new WeakMemo<readonly Uss[], Standing>(16_384)

/**
 * A username that is part of a public identity anyway has nothing to hide; and one of a few letters stands in every other
 * text, so that to look for it would refuse all.
 */
function isSecretName(username: string | undefined, uids: readonly Impu[]): username is string {
  if (username === undefined) return false
  const bare = (text: string) => text.toLowerCase().replace(/^(?:sips?|tel):/, '')
  const isTold = uids.some((uid) => bare(uid).includes(bare(username)))
  return !isTold && username.length >= LEAST_SECRET_NAME
}

const LEAST_SECRET_NAME = 6

/** Whether an identity is listed, or one of those that a wildcarded one stands for; a temporary one never is. */
function ownershipTest(allowed: readonly Impu[], uids: readonly Impu[]): (impu: Impu) => boolean {
  const wildcards = uids.filter(isWildcarded).map(wildcardMatcher)
  return (impu) => allowed.includes(impu) || (!isTemporaryImpu(impu) && wildcards.some((matches) => matches(impu)))
}

/**
 * The USSs of the route's services, in the route's order.
 * Deviation: some HSSs (2026) fill the USS id with the service type; such a USS counts where no id matches.
 */
function applicableSettings(
  ussList: readonly Uss[],
  { gsids, gsTypes = [] }: RoutePolicy,
): { settings: readonly Uss[]; tolerances: GrantTolerance[] } {
  const settings = gsids.flatMap((gsid) => ussList.filter((uss) => uss.gsid === gsid))
  if (settings.length > 0) return { settings, tolerances: [] }
  const byType = ussList.filter((uss) => uss.gsid === uss.gsType && gsTypes.includes(uss.gsType))
  if (byType.length > 0) return { settings: byType, tolerances: ['uss-id-is-type'] }
  return refuse('UT_USS_MISSING', `no USS for GSID ${gsids.join(', ')}`)
}

function ownershipOf(auid: string, { ownership, ownershipByAuid = {} }: RoutePolicy): Ownership {
  for (const name in ownershipByAuid) {
    if (name.toLowerCase() === auid.toLowerCase()) return ownershipByAuid[name] ?? ownership
  }
  return ownership
}

function requireAccess(uri: XcapUri, own: boolean, method: string, ownership: Ownership): void {
  if (ownership === 'as-decides' || own) return
  const reads = method === 'GET' || method === 'HEAD'
  if (uri.tree === 'global') {
    if (!reads) refuse('UT_GLOBAL_READ_ONLY', `${method} in the global tree`)
  } else if (!reads || ownership === 'owner') {
    refuse('UT_TREE_NOT_OWNED', `${method} in the tree of ${uri.xui}`)
  }
}

const unique = <Item>(items: readonly Item[]): Item[] => [...new Set(items)]

function refuse(code: FaultCode, detail: string): never {
  throw new GbaError(code, detail)
}
