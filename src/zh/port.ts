import type { Av } from '../core/aka.ts'
import type { Guss } from '../core/guss.ts'
import type { Impi } from '../core/identity.ts'

/** What the BSF got from the HSS for one bootstrapping run. @see 3GPP TS 29.109 clause 4.2 (Rel-17) */
export interface Maa {
  readonly av: Av
  /** Absent when the subscriber has none. */
  readonly guss?: Guss
}

/** Challenge and answer of a UE whose SQN is ahead. */
export interface Resync {
  readonly rand: Uint8Array
  /** 14 octets. */
  readonly auts: Uint8Array
}

/**
 * Zh: where authentication vectors come from. One call draws exactly one vector or throws and draws none.
 * @throws GbaError ZH_IMPI_UNKNOWN, ZH_RESYNC_REFUSED (MAC-S wrong; SQN untouched), ZH_HSS_UNREACHABLE
 */
export interface AvSource {
  draw(impi: Impi, resync?: Resync): Promise<Maa>
  close?(): Promise<void>
}
