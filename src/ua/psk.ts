import type { EpochMs } from '../core/bytes.ts'
import type { Btid, Fqdn } from '../core/identity.ts'
import type { UaProtocolId } from '../core/naf-id.ts'
import type { Secret } from '../core/secret.ts'
import { GbaError } from '../errors.ts'
import type { Bia, KeySource } from '../zn/port.ts'
import type { NafPolicy } from './authenticate.ts'
import { type Attempt, identitiesIn, proven } from './authenticated.ts'
import { keysFor } from './keys.ts'

/** Who is at the other end of a TLS connection that stands on a bootstrapped key: proven by the handshake. */
export interface PskPeer {
  readonly btid: Btid
  readonly uaProtocolId: UaProtocolId
  readonly nafFqdn: Fqdn
}

/**
 * Ua with TLS by a bootstrapped key. The handshake proves who the UE is; each request asks anew whether the key is still
 * good, since a connection may outlive it.
 * @see 3GPP TS 33.222 clause 5.4 (Rel-17)
 */
export function pskDoor({ keys, now }: { readonly keys: KeySource; readonly now: () => EpochMs }) {
  /**
   * @throws GbaError UA_KEY_EXPIRED, UA_KEY_CHOICE_REFUSED and those of Zn
   */
  async function keyOf(
    { btid, uaProtocolId, nafFqdn }: PskPeer,
    naf: NafPolicy,
    asker?: string,
  ): Promise<{ bia: Bia; key: Secret }> {
    // The identity names Ks_NAF or Ks_ext_NAF; that of the UICC's key has another prefix.
    const methods = naf.challenge.methods.filter((method) => method === 'gba-me')
    if (methods.length === 0) throw new GbaError('UA_KEY_CHOICE_REFUSED', 'this route does not take the key of the ME')
    const bia = await keys.fetch({ btid, nafFqdn, uaProtocolId, gsids: naf.gsids, gbaUAware: false }, asker)
    if (now() >= bia.expiresAt) throw new GbaError('UA_KEY_EXPIRED', 'the key has expired')
    const [right] = keysFor(methods, bia)
    if (!right) throw new TypeError('no key, and nobody refused')
    return { bia, key: right.key }
  }

  return {
    /**
     * The key for a handshake, before anything is proven.
     * @param asker  what the address of this peer is counted as
     * @returns undefined where this peer has none here, whoever's fault that is
     * @throws GbaError ZN_BSF_UNREACHABLE, ZN_TOO_MANY_QUESTIONS and what else is no fault of the UE
     */
    async keyFor(peer: PskPeer, naf: NafPolicy, asker?: string): Promise<Secret | undefined> {
      try {
        return (await keyOf(peer, naf, asker)).key
      } catch (error) {
        // That one is to come again, and must not be told that its bootstrap is unknown.
        const isOfPeer = error instanceof GbaError && (error.fault.by === 'ue' || error.fault.by === 'policy')
        if (isOfPeer && error.code !== 'ZN_TOO_MANY_QUESTIONS') return undefined
        throw error
      }
    },

    /** @throws GbaError UA_SNI_MISMATCH where the key is that of another NAF; others as `keyFor` finds none */
    async enter(peer: PskPeer, nafFqdn: Fqdn, naf: NafPolicy): Promise<Attempt> {
      if (peer.nafFqdn !== nafFqdn) throw new GbaError('UA_SNI_MISMATCH', `key of ${peer.nafFqdn}, Host ${nafFqdn}`)
      const { btid, uaProtocolId } = peer
      const { bia } = await keyOf(peer, naf)
      return {
        needsBody: false,
        btid,
        uaProtocolIds: [uaProtocolId],
        async verify(_body, isTooOld) {
          const { bootstrappedAt, impi, ussList } = bia
          if (isTooOld({ bootstrappedAt, btid, impus: () => identitiesIn(ussList) })) {
            throw new GbaError('UA_REBOOTSTRAP_DEMANDED', 'the bootstrap is older than the policy lets it be')
          }
          return proven({
            door: 'psk',
            btid,
            ...(impi && { impi }),
            ussList,
            nafFqdn,
            uaProtocolId,
            method: 'gba-me',
            tolerances: [],
            authenticationInfo: () => undefined,
            coversBody: false,
          })
        },
      }
    },
  }
}

export type PskDoor = ReturnType<typeof pskDoor>
