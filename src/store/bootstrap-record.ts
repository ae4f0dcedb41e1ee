import { concat, fromBase64, fromUtf8, toBase64, utf8 } from '../core/bytes.ts'
import type { Guss } from '../core/guss.ts'
import type { Btid, Impi, Tmpi } from '../core/identity.ts'
import { Secret } from '../core/secret.ts'
import type { GbaType } from '../zn/port.ts'
import type { Bootstrap } from './store.ts'

/** Everything but Ks, as JSON. Only `decodeBootstrap` reads it, from a value that was sealed by `encodeBootstrap`. */
interface Rest {
  readonly btid: Btid
  readonly impi: Impi
  readonly rand: string
  readonly createdAt: number
  readonly expiresAt: number
  readonly gbaType: GbaType
  readonly tmpi?: Tmpi
  readonly guss?: Guss
}

/** The plaintext of a bootstrap's sealed value: length of Ks (1) ‖ Ks ‖ JSON. Ks never becomes a string. */
export function encodeBootstrap({ ks, rand, ...others }: Bootstrap): Uint8Array {
  const rest: Rest = { ...others, rand: toBase64(rand) }
  return concat(Uint8Array.of(ks.length), ks.expose(), utf8(JSON.stringify(rest)))
}

/** Wipes what it reads. @returns undefined for what `encodeBootstrap` does not write */
export function decodeBootstrap(plaintext: Uint8Array): Bootstrap | undefined {
  const end = 1 + (plaintext[0] ?? 0)
  try {
    const { rand: text, ...others }: Rest = JSON.parse(fromUtf8(plaintext.subarray(end)))
    const rand = fromBase64(text)
    return rand && { ...others, rand, ks: new Secret(plaintext.subarray(1, end)) }
  } catch {
    return undefined
  } finally {
    plaintext.fill(0)
  }
}
