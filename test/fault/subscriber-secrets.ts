import { createHash } from 'node:crypto'
import type { Impi } from '../../src/core/identity.ts'
import { deriveKs, deriveKsNaf } from '../../src/core/kdf.ts'
import { milenage } from '../../src/core/milenage.ts'
import { nafIdOf, UA_PSK_TLS13, type UaProtocolId } from '../../src/core/naf-id.ts'
import type { Secret } from '../../src/core/secret.ts'
import { LAB_NAF } from '../../src/lab.ts'
import type { HandCard } from '../support/hand-ub.ts'
import type { SoughtSecret } from '../support/secret-search.ts'

/** Identifiers under which the UEs of this test may derive a key: by suite, of the default list, and by shared key. */
const UA_IDS = [...['1301', '1302', '1303', 'c02b', 'c02f', '00a8'].map((suite) => `010001${suite}`), '0100000002']

export interface Card extends HandCard {
  readonly name: string
}

/** What the search is for, as it comes to be. */
export function gatherSecrets(cards: readonly Card[], op: Secret) {
  const found = new Map<string, SoughtSecret>()
  const add = (name: string, octets: Uint8Array) => found.set(name, { name, octets })
  add('OP', op.expose())
  for (const { name, k, opc } of cards) {
    add(`K of ${name}`, k.expose())
    add(`OPc of ${name}`, opc.expose())
  }
  return {
    all: () => [...found.values()],
    /** Everything that follows from one challenge. */
    ofChallenge(card: Card, rand: Uint8Array) {
      const { res, ck, ik } = milenage(card.k, card.opc).f2345(rand)
      const ks = deriveKs(ck, ik)
      const run = `${card.name}, ${Buffer.from(rand).toString('hex').slice(0, 6)}`
      for (const [key, secret] of Object.entries({ RES: res, CK: ck, IK: ik, Ks: ks })) {
        add(`${key} (${run})`, secret.expose())
      }
      for (const id of [...UA_IDS, UA_PSK_TLS13]) {
        const ksNaf = deriveKsNaf(ks, rand, card.impi as Impi, nafIdOf(LAB_NAF, id as UaProtocolId))
        add(`Ks_NAF ${id} (${run})`, ksNaf.expose())
      }
    },
    ofDigest(name: string, btid: string, password: string) {
      add(`Ks_NAF of ${name}`, Buffer.from(password, 'base64'))
      const ha1 = createHash('md5').update(`${btid}:3GPP-bootstrapping@${LAB_NAF}:${password}`).digest()
      add(`HA1 of ${name}`, ha1)
    },
  }
}
