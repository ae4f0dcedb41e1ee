import type { Fqdn } from '../core/identity.ts'
import type { UaProtocolId } from '../core/naf-id.ts'
import { GbaError } from '../errors.ts'
import type { Authenticator, NafPolicy } from './authenticate.ts'
import type { Attempt } from './authenticated.ts'
import type { CertificateDoor, PeerCertificate } from './certificate.ts'
import { saysGba } from './challenge.ts'
import { type DoorName, doorFor, type Evidence } from './door.ts'
import { isForPassword, type PasswordDoor } from './password.ts'
import type { PskDoor, PskPeer } from './psk.ts'
import type { UaRequest } from './verify.ts'

/** The doors of a listener; those that it does not have are closed, whatever a route opens. */
export interface DoorsOfListener {
  readonly digest: Authenticator
  readonly psk: PskDoor | undefined
  readonly certificate: CertificateDoor | undefined
  readonly password: PasswordDoor | undefined
  /** Whether a UE has to say that it knows GBA before it is challenged. */
  readonly requireToken: boolean
}

/** Everything that a request and its connection bring. */
export interface Knock {
  readonly request: UaRequest
  /** Product tokens of the UE. */
  readonly tokens: ReadonlySet<string>
  /** Identifiers to try with Digest, in order. */
  readonly uaProtocolIds: readonly UaProtocolId[]
  readonly psk: PskPeer | undefined
  /** `refused`: the client showed one that is not good. */
  readonly certificate: PeerCertificate | 'refused' | undefined
}

/** What a route asks for. */
export interface DoorPolicy extends NafPolicy {
  /** Those it opens, in order of preference. */
  readonly doors: readonly DoorName[]
  /** GSIDs of the route itself: what subscribers whom no BSF describes have settings for. */
  readonly services: readonly number[]
}

/** All ways in which a UE may prove who it is. @see 3GPP TS 33.222 clause 5 (Rel-17) */
export function doorsOf(listener: DoorsOfListener) {
  const { digest, psk, certificate, password } = listener
  const opened = ({ doors }: DoorPolicy) => doors.filter((door) => door === 'digest' || listener[door] !== undefined)

  async function enterOther(door: Exclude<DoorName, 'digest'>, knock: Knock, policy: DoorPolicy): Promise<Attempt> {
    const { request } = knock
    switch (door) {
      case 'psk':
        return present(psk).enter(present(knock.psk), request.nafFqdn, policy)
      case 'certificate':
        if (knock.certificate === 'refused') {
          throw new GbaError('UA_CERTIFICATE_REFUSED', 'the handshake found the certificate not good')
        }
        return present(certificate).enter(present(knock.certificate), {
          nafFqdn: request.nafFqdn,
          gsids: policy.services,
        })
      case 'password':
        return present(password).enter(request, { ...policy, gsids: policy.services })
    }
  }

  return {
    /**
     * By which door a request is judged.
     * @throws GbaError UA_CREDENTIALS_MISSING where a challenge may help, UA_TOKEN_MISSING, UA_DOOR_CLOSED
     */
    choose(knock: Knock, policy: DoorPolicy): DoorName {
      const open = opened(policy)
      const door = doorFor(open, evidenceIn(knock, open))
      if (door !== undefined) return door
      if (!open.includes('digest') && !open.includes('password')) {
        throw new GbaError('UA_DOOR_CLOSED', `this route opens ${open.join(', ') || 'no door'}`)
      }
      if (listener.requireToken && !open.includes('password') && !saysGba(knock.tokens, policy.challenge)) {
        throw new GbaError('UA_TOKEN_MISSING', 'no Authorization, and no GBA token in User-Agent')
      }
      throw new GbaError('UA_CREDENTIALS_MISSING', 'no Authorization header')
    },

    /** @throws GbaError what the door throws */
    enter(door: DoorName, knock: Knock, policy: DoorPolicy): Promise<Attempt> {
      // The one that most go by: it needs no promise around its own.
      if (door === 'digest') return digest.enter(knock.request, policy, knock.uaProtocolIds)
      return enterOther(door, knock, policy)
    },

    /**
     * Lines of a 401. The one for bootstrapped keys also goes to a UE whose connection stands on one, for there it
     * means renegotiation.
     * @param through  the door that refused; `stale` is said of its challenge alone
     */
    challenge(
      nafFqdn: Fqdn,
      policy: DoorPolicy,
      tokens: ReadonlySet<string>,
      { through, stale }: { readonly through: DoorName | undefined; readonly stale: boolean },
    ): string[] {
      const open = opened(policy)
      const gba = saysGba(tokens, policy.challenge)
      // A UE that says which kind it is gets the challenge that it can answer, and no other to stumble over.
      const spared = gba && open.includes('digest') && through !== 'password'
      const lines = open.flatMap((door): string[] => {
        const isStale = stale && door === through
        if (door === 'password' && password && !spared) return password.challenge(nafFqdn, policy.challenge, isStale)
        if (door === 'digest' && (gba || !listener.requireToken)) {
          return digest.challenge(nafFqdn, policy.challenge, tokens, isStale)
        }
        return []
      })
      return lines.length > 0 ? lines : digest.challenge(nafFqdn, policy.challenge, tokens, stale)
    },
  }
}

export type Doors = ReturnType<typeof doorsOf>

/** Looked for door by door: the first one that counts ends it. */
function evidenceIn({ psk, certificate, request }: Knock, open: readonly DoorName[]): Evidence {
  const { authorization, nafFqdn } = request
  // What cannot be told apart goes to bootstrapped keys where they are taken, and is refused there.
  const isPassword = () =>
    !open.includes('digest') || (open.includes('password') && isForPassword(authorization, nafFqdn))
  return {
    has(door) {
      if (door === 'psk') return psk !== undefined
      if (door === 'certificate') return certificate !== undefined
      return authorization.length > 0 && isPassword() === (door === 'password')
    },
  }
}

function present<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new TypeError('a door without its evidence')
  return value
}
