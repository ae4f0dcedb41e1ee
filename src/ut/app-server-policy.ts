import type { Fqdn } from '../core/identity.ts'
import type { Secret } from '../core/secret.ts'

export type IdentityHeaderName = 'X-3GPP-Asserted-Identity' | 'X-XCAP-Asserted-Identity' | 'P-Asserted-Identity'

/** In what form an application server gets what was granted. */
export interface AppServerPolicy {
  /** `external`: outside the trust domain, and so it learns no more of a subscriber than it is told. Default: internal. */
  readonly trust?: 'internal' | 'external'
  readonly identityHeader: readonly IdentityHeaderName[]
  /** P-Asserted-Identity has angle brackets either way. */
  readonly identityQuoted: boolean
  readonly authorisationFlags: boolean
  readonly hostHeader: 'preserve' | 'upstream'
  /** Host of the application server, with the port unless it is the scheme's own. */
  readonly authority: string
  /** Whether it also gets the verified X-3GPP-Intended-Identity. Default: no, the asserted one says all. */
  readonly forwardIntendedIdentity?: boolean
  /** Whether it is told of traces; default: as others, and not where it is external. */
  readonly traceparent?: 'default' | 'send' | 'withhold'
  /** Added to every request, in the place of what the UE sent under that name; see `faultOfFixedHeader`. */
  readonly fixedHeaders?: Readonly<Record<string, string>>
  /** Path of the XCAP root in the targets of UEs, as `parseXcapUri` had it. Default: none. */
  readonly xcapRoot?: string
  /** Path of the XCAP root at the server; '/' for none. Default, and '': as `xcapRoot`. */
  readonly upstreamRoot?: string
  /** For an external server only. `pairwise`: the subscriber has a name there, and no other. Default: none. */
  readonly pseudonym?: 'none' | 'pairwise'
  /** Of the pairwise pseudonyms. */
  readonly pseudonymDomain?: Fqdn
  /** Of the pairwise pseudonyms: 32 octets. */
  readonly pseudonymKey?: Secret
}
