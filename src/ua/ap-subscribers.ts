import type { Uss } from '../core/guss.ts'
import type { Impi, Impu } from '../core/identity.ts'
import type { Secret } from '../core/secret.ts'
import { isWildcarded, wildcardMatcher } from '../core/wildcard.ts'
import type { PeerCertificate, San } from './peer-certificate.ts'

/** A subscriber whom the proxy knows itself, without a BSF. */
export interface ApSubscriber {
  readonly impi?: Impi
  /** What she may assert: at least one; the first is the default. */
  readonly impus: readonly Impu[]
  /** GAA services she may use; absent: every one. */
  readonly gsids?: readonly number[]
  readonly flags: readonly number[]
  /** By what her certificates are known; each will do. */
  readonly certificates: readonly CertificateMark[]
  readonly digest?: ApDigest
}

/** What of a certificate says that it is hers. */
export type CertificateMark = { readonly fingerprint256: string } | { readonly subject: string } | { readonly san: San }

export interface ApDigest {
  readonly username: string
  readonly realm: string
  /** Lower-case hex digits as octets, the form in which they enter a response. As good as the password. */
  readonly ha1: ReadonlyMap<Ha1Algorithm, Secret>
}

export type Ha1Algorithm = 'MD5' | 'SHA-256' | 'SHA-512-256'

export interface ApSubscribers {
  readonly all: readonly ApSubscriber[]
  /** Those with a mark that this certificate bears. Of two, nobody can say which it is. */
  byCertificate(certificate: Pick<PeerCertificate, 'fingerprint256' | 'subject' | 'sans'>): readonly ApSubscriber[]
  /** Letter case counts in both. */
  byUsername(username: string, realm: string): ApSubscriber | undefined
  /** Whose public identity it is; a wildcarded one stands for those that match it. */
  byImpu(impu: Impu): ApSubscriber | undefined
  byImpi(impi: Impi): ApSubscriber | undefined
}

/** @param all of which no two have an identity, a mark or a username in common */
export function apSubscribers(all: readonly ApSubscriber[]): ApSubscribers {
  const indexed = (keysOf: (one: ApSubscriber) => readonly string[]): ReadonlyMap<string, ApSubscriber> =>
    new Map(all.flatMap((one) => keysOf(one).map((key) => [key, one] as const)))
  const byMark = indexed(({ certificates }) => certificates.map(markKey))
  const byName = indexed(({ digest }) => (digest ? [usernameKey(digest)] : []))
  const byImpi = indexed(({ impi }) => (impi === undefined ? [] : [impiKey(impi)]))
  const byImpu = indexed(({ impus }) => impus)
  const wildcards = all.flatMap((one) =>
    one.impus.filter(isWildcarded).map((impu) => ({ one, matches: wildcardMatcher(impu) })),
  )
  return {
    all,
    byCertificate({ fingerprint256, subject, sans }) {
      const marks: CertificateMark[] = [{ fingerprint256 }, { subject }, ...sans.map((san) => ({ san }))]
      return [...new Set(marks.flatMap((mark) => byMark.get(markKey(mark)) ?? []))]
    },
    byUsername: (username, realm) => byName.get(usernameKey({ username, realm })),
    byImpu: (impu) => byImpu.get(impu) ?? wildcards.find(({ matches }) => matches(impu))?.one,
    byImpi: (impi) => byImpi.get(impiKey(impi)),
  }
}

/** Settings for those of these services that she may use. */
export function ussListOf({ impus, gsids: allowed, flags }: ApSubscriber, gsids: readonly number[]): Uss[] {
  return [...new Set(gsids)]
    .filter((gsid) => allowed?.includes(gsid) ?? true)
    .map((gsid) => ussOfOur(gsid, impus, flags))
}

/** One setting that no BSF gave; the type is the service itself where that is a standard one. */
export const ussOfOur = (gsid: number, uids: readonly Impu[], flags: readonly number[]): Uss => ({
  gsid,
  gsType: gsid <= 5 ? gsid : 0,
  uids,
  flags,
})

/** Equal for marks that mean the same. */
export function markKey(mark: CertificateMark): string {
  if ('san' in mark) return `san ${mark.san.type}:${mark.san.value}`
  return 'subject' in mark ? `subject ${mark.subject}` : `fingerprint256 ${mark.fingerprint256}`
}

/** Equal for equal pairs only: the length tells where the one ends. */
export const usernameKey = ({ username, realm }: Pick<ApDigest, 'username' | 'realm'>): string =>
  `${username.length} ${username} ${realm}`

/** The realm of an IMPI is a host name: its letter case does not count where certificates write it. */
export function impiKey(impi: Impi): string {
  const at = impi.lastIndexOf('@')
  return impi.slice(0, at) + impi.slice(at).toLowerCase()
}
