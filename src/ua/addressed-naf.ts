import { type Fqdn, parseFqdn } from '../core/identity.ts'
import { GbaError } from '../errors.ts'

/**
 * The NAF that a request addresses. TLS SNI (where sent), the one Host header and a configured name have to agree;
 * the realm is compared with the result later.
 * @throws GbaError UT_REQUEST_MALFORMED, UA_SNI_MISMATCH, UA_NAF_UNKNOWN
 * @see 3GPP TS 24.109 Annex D.2 (Rel-17)
 */
export function addressedNaf<Naf>(
  sni: string | undefined,
  hosts: readonly string[],
  nafs: ReadonlyMap<Fqdn, Naf>,
): { readonly nafFqdn: Fqdn; readonly naf: Naf } {
  const [host, ...more] = hosts
  if (host === undefined || more.length > 0) {
    throw new GbaError('UT_REQUEST_MALFORMED', `${hosts.length} Host headers`)
  }
  // A name that is configured is in its one form.
  const known = nafs.get(host as Fqdn)
  if (known !== undefined && (sni === undefined || sni === host)) return { nafFqdn: host as Fqdn, naf: known }
  const nafFqdn = parseFqdn(host.replace(/:\d{1,5}$/, ''))
  if (!nafFqdn) throw new GbaError('UA_NAF_UNKNOWN', 'Host is not a host name')
  if (sni !== undefined && parseFqdn(sni) !== nafFqdn) {
    throw new GbaError('UA_SNI_MISMATCH', `SNI ${sni}, Host ${nafFqdn}`)
  }
  const naf = nafs.get(nafFqdn)
  if (!naf) throw new GbaError('UA_NAF_UNKNOWN', `${nafFqdn} is no NAF of ours`)
  return { nafFqdn, naf }
}
