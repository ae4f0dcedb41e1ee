import { toHex } from '../../src/core/bytes.ts'
import type { UeExchange } from '../../src/ue/message.ts'
import { parseSim, type Sim } from '../../src/ue/sim.ts'
import { BSF, NAF, SET_1 } from './fake-network.ts'

/** The SIM of the golden flow; its SQN is just below the first challenge's. */
export const simText = (ports: { bsf?: number; naf?: number }, more: Record<string, string> = {}): string => {
  const keys = { imsi: '001010123456789', k: SET_1.k, opc: SET_1.opc, sqn: 'ff9bb4d0b5e7', ...more }
  return [
    ...Object.entries(keys).map(([key, value]) => `${key}: ${value}`),
    'connect:',
    `  ${BSF}: 127.0.0.1:${ports.bsf ?? 9}`,
    `  ${NAF}: 127.0.0.1:${ports.naf ?? 9}`,
  ].join('\n')
}

export const card = (ports: { bsf?: number; naf?: number }, more: Record<string, string> = {}): Sim =>
  parseSim(simText(ports, more), 'alice.yaml')

/** Hands out these octets in turn. */
export function fixedRandom(...values: readonly string[]): (length: number) => Uint8Array {
  const left = [...values]
  return (length) => {
    const value = left.shift()
    if (value === undefined || value.length !== 2 * length) throw new Error(`no ${length} octets left`)
    return new Uint8Array(Buffer.from(value, 'hex'))
  }
}

/** An observer and what it has seen. */
export function recorder() {
  const seen: UeExchange[] = []
  return { seen, observer: (exchange: UeExchange) => seen.push(exchange) }
}

/** No octets of these secrets in the text, in hex or base64. */
export function shows(text: string, secret: Uint8Array): boolean {
  return text.includes(toHex(secret)) || text.includes(Buffer.from(secret).toString('base64'))
}
