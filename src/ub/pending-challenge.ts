import type { Av } from '../core/aka.ts'
import { concat, fromBase64, fromUtf8, toBase64, utf8 } from '../core/bytes.ts'
import { Secret } from '../core/secret.ts'
import type { PendingChallenge } from './bootstrap.ts'

/** Everything but the keys, as JSON. */
type Rest = Omit<PendingChallenge, 'av'> & { readonly rand: string; readonly autn: string }

/** `xres`, `ck` and `ik`, each with its length (1), then the rest. A key never becomes a string. */
export function encodePendingChallenge({ av, ...others }: PendingChallenge): Uint8Array {
  const rest: Rest = { ...others, rand: toBase64(av.rand), autn: toBase64(av.autn) }
  const secrets = [av.xres, av.ck, av.ik].flatMap((secret) => [Uint8Array.of(secret.length), secret.expose()])
  return concat(...secrets, utf8(JSON.stringify(rest)))
}

/** Wipes what it reads. @returns undefined for what `encodePendingChallenge` does not write */
export function decodePendingChallenge(octets: Uint8Array): PendingChallenge | undefined {
  let at = 0
  const next = () => {
    const end = at + 1 + (octets[at] ?? 0)
    const secret = new Secret(octets.subarray(at + 1, end))
    at = end
    return secret
  }
  try {
    const [xres, ck, ik] = [next(), next(), next()]
    const { rand: randText, autn: autnText, ...others }: Rest = JSON.parse(fromUtf8(octets.subarray(at)))
    const [rand, autn] = [fromBase64(randText), fromBase64(autnText)]
    if (rand === undefined || autn === undefined) return undefined
    const av: Av = { rand, autn, xres, ck, ik }
    return { ...others, av }
  } catch {
    return undefined
  } finally {
    octets.fill(0)
  }
}

export const pendingChallengeCodec = { encode: encodePendingChallenge, decode: decodePendingChallenge }
