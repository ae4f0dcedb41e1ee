import { toBase64, utf8 } from '../core/bytes.ts'
import { type DigestAlgorithm, userHa1 } from '../core/digest.ts'
import type { DigestCredentials } from '../core/digest-header.ts'
import { ownCopyOf, WeakMemo } from '../core/memo.ts'
import type { Secret } from '../core/secret.ts'

/** What HA1 is of, beside the key. */
type Ha1Names = Pick<DigestCredentials, 'username' | 'realm'>

/**
 * H(username:realm:base64(Ks_NAF)), the same for all requests over one key: HA1, or that of all sessions under -sess.
 * Taken from what `keepHa1` was given, where that was of this key, algorithm, username and realm.
 * @returns lower-case hex
 * @throws RangeError for a key that has not 32 octets
 * @see RFC 7616 clause 3.4.2
 */
export function ha1OfKey(ksNaf: Secret, algorithm: DigestAlgorithm, names: Ha1Names): string {
  const known = proven.get(ksNaf)
  if (known?.isOf(algorithm, names)) return known.text
  // The password is the text of the key, not its octets.
  return userHa1(algorithm, names.username, names.realm, utf8(toBase64(ksNaf.expose(32))))
}

/**
 * Remembers an HA1 that has made a right response, for as long as its key is there: one for each key. To be told of no
 * other, or strangers could drive out the one that is used.
 * @see RFC 7616 clause 3.4.2
 */
export function keepHa1(ksNaf: Secret, algorithm: DigestAlgorithm, names: Ha1Names, ha1: string): void {
  if (!proven.get(ksNaf)?.isOf(algorithm, names)) proven.keep(ksNaf, new ProvenHa1(algorithm, names, ha1))
}

/**
 * As good as a password, so it shows itself to nobody. It is kept in octets, since a text that lives is in every heap
 * snapshot; they are its own, or a slab of small buffers would live as long.
 */
class ProvenHa1 {
  readonly #algorithm: DigestAlgorithm
  readonly #username: string
  readonly #realm: string
  readonly #octets: Buffer

  constructor(algorithm: DigestAlgorithm, { username, realm }: Ha1Names, text: string) {
    this.#algorithm = algorithm
    this.#username = ownCopyOf(username)
    this.#realm = ownCopyOf(realm)
    this.#octets = Buffer.alloc(text.length)
    this.#octets.write(text, 'latin1')
  }

  get text(): string {
    return this.#octets.toString('latin1')
  }

  isOf(algorithm: DigestAlgorithm, { username, realm }: Ha1Names): boolean {
    return algorithm === this.#algorithm && username === this.#username && realm === this.#realm
  }
}

const proven = new WeakMemo<Secret, ProvenHa1>(16_384)
