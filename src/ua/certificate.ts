import type { EpochMs } from '../core/bytes.ts'
import type { Uss } from '../core/guss.ts'
import type { Fqdn, Impi, Impu } from '../core/identity.ts'
import { isWildcarded, wildcardMatcher } from '../core/wildcard.ts'
import { GbaError } from '../errors.ts'
import { type ApSubscriber, type ApSubscribers, ussListOf, ussOfOur } from './ap-subscribers.ts'
import { type Attempt, identitiesIn, proven } from './authenticated.ts'
import type { PeerCertificate } from './peer-certificate.ts'

export { type PeerCertificate, readPeerCertificate } from './peer-certificate.ts'

/**
 * Whose word counts for a certificate that the subscriber file says nothing of. `file`: nobody's, it opens nothing.
 * `certificate`: its own, that is the CA's, for every service of the route. `bsf`: that of whoever keeps the settings.
 */
export type CertificateSettings = 'file' | 'certificate' | 'bsf'

export interface CertificateDoorOptions {
  readonly subscribers: () => ApSubscribers | undefined
  readonly settings: CertificateSettings
  /** Needed with `bsf`: the settings of one subscriber, undefined for who is not one. */
  readonly settingsOf?: (
    identity: Impi | Impu,
    gsids: readonly number[],
  ) => Promise<{ readonly impi?: Impi; readonly ussList: readonly Uss[] } | undefined>
  /** Asked at every request: the handshake has asked for its own moment only. */
  readonly isRevoked?: (peer: PeerCertificate) => boolean
  readonly now: () => EpochMs
}

export interface CertificateRequest {
  readonly nafFqdn: Fqdn
  /** Of the route; never GAA service types in their place. */
  readonly gsids: readonly number[]
}

export type CertificateDoor = ReturnType<typeof certificateDoor>

/** Whom a certificate stands for. */
interface Holder {
  readonly impi?: Impi
  readonly ussList: readonly Uss[]
}

/**
 * Ua with a client certificate: who holds the key of the connection. The chain has been checked in the handshake, and
 * only a certificate that passed may come here; how long it is good, and for whom, is asked at every request, since
 * connections and resumed sessions outlive both.
 * Reading: the clause leaves to the proxy how a certificate names a subscriber. The subscriber file comes first; what
 * it says of her replaces what any other source would.
 * @see 3GPP TS 33.222 clause 5.5 (Rel-17)
 */
export function certificateDoor(options: CertificateDoorOptions) {
  if (options.settings === 'bsf' && !options.settingsOf) throw new RangeError('bsf needs settingsOf')
  return {
    /**
     * @returns an attempt whose `verify` throws UA_CERTIFICATE_REFUSED for what is not good now or names two, and
     *   UA_CERTIFICATE_UNKNOWN for what names no subscriber
     */
    enter: (peer: PeerCertificate, { nafFqdn, gsids }: CertificateRequest): Attempt => ({
      needsBody: false,
      async verify() {
        requireGood(peer, options)
        const { impi, ussList } = await holderOf(peer, gsids, options)
        return proven({
          door: 'certificate',
          ...(impi !== undefined && { impi }),
          ussList,
          nafFqdn,
          tolerances: [],
          authenticationInfo: () => undefined,
          coversBody: false,
        })
      },
    }),
  }
}

function requireGood(peer: PeerCertificate, { now, isRevoked }: CertificateDoorOptions): void {
  const at = now()
  if (peer.fault !== undefined) refuse(peer.fault)
  // Written so that a date that is none refuses, too.
  if (!(at >= peer.validFrom)) refuse('is not good yet')
  if (!(at <= peer.validTo)) refuse('has expired')
  if (isRevoked?.(peer)) refuse('has been revoked')
}

async function holderOf(
  peer: PeerCertificate,
  gsids: readonly number[],
  { subscribers, settings, settingsOf }: CertificateDoorOptions,
): Promise<Holder> {
  const known = subscribers()
  const listed = known && listedHolder(peer, known, settings)
  if (listed) return { ...(listed.impi && { impi: listed.impi }), ussList: ussListOf(listed, gsids) }
  if (settings === 'certificate' && peer.impus.length > 0) {
    const ussList = [...new Set(gsids)].map((gsid) => ussOfOur(gsid, peer.impus, []))
    return { ...(peer.impi !== undefined && { impi: peer.impi }), ussList }
  }
  const found = settings === 'bsf' && settingsOf ? await settingsFor(peer, gsids, settingsOf) : undefined
  return found ?? unknown('its names are no subscriber')
}

/** Her whom the file says it is. */
function listedHolder(
  peer: PeerCertificate,
  known: ApSubscribers,
  settings: CertificateSettings,
): ApSubscriber | undefined {
  const [marked, ...more] = known.byCertificate(peer)
  const owners = [peer.impi && known.byImpi(peer.impi), ...peer.impus.map((impu) => known.byImpu(impu))]
  const [named, ...others] = new Set(owners.filter((owner) => owner !== undefined))
  if (more.length > 0 || others.length > 0) refuse('stands for two subscribers of the file')
  if (marked !== undefined) {
    if (named !== undefined && named !== marked) refuse('is marked as one subscriber and names another')
    return marked
  }
  if (named === undefined || settings === 'file') return undefined
  // Where the file says by what her certificates are known, another that names her is somebody else's.
  if (named.certificates.length > 0) refuse('names a subscriber of the file, but is none of her certificates')
  return named
}

/** An e-mail address may be no private identity: then the first public one is asked for. */
async function settingsFor(
  { impi, impus: [impu, ...more] }: PeerCertificate,
  gsids: readonly number[],
  settingsOf: NonNullable<CertificateDoorOptions['settingsOf']>,
): Promise<Holder | undefined> {
  const byImpi = impi && (await settingsOf(impi, gsids))
  const found = byImpi ?? (impu && (await settingsOf(impu, gsids)))
  if (!found) return undefined
  const uids = identitiesIn(found.ussList)
  const wildcards = uids.filter(isWildcarded).map(wildcardMatcher)
  const isHers = (one: Impu) => uids.includes(one) || wildcards.some((matches) => matches(one))
  if (impu !== undefined && ![impu, ...more].some(isHers)) refuse('names none of the identities of its subscriber')
  return found
}

function refuse(detail: string): never {
  throw new GbaError('UA_CERTIFICATE_REFUSED', `the certificate ${detail}`)
}

function unknown(detail: string): never {
  throw new GbaError('UA_CERTIFICATE_UNKNOWN', `the certificate is nobody's: ${detail}`)
}
