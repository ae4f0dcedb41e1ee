import { readFile } from 'node:fs/promises'
import { fromBase64, fromHex, toHex } from '../../core/bytes.ts'
import { type Impu, parseBtid, parseImpi } from '../../core/identity.ts'
import { deriveKs } from '../../core/kdf.ts'
import { milenage } from '../../core/milenage.ts'
import { Secret } from '../../core/secret.ts'
import { loadSubscribers } from '../../hss/subscribers.ts'
import type { KeyMaterial } from '../../ua/explain.ts'
import { loadSim, type Sim } from '../../ue/sim.ts'
import { fileState, stateFileOf } from '../../ue/state-file.ts'
import { UsageError } from '../options.ts'

/** Where keys come from, as the command line has it. */
export interface KeyOptions {
  readonly simFile: string | undefined
  readonly subscribersFile: string | undefined
  readonly impi: string | undefined
  readonly ks: string | undefined
  readonly ksNaf: string | undefined
  readonly rands: readonly string[]
}

/**
 * The keys that the UE may have used. RAND stands in the B-TID, so that K and OPc are enough to derive its Ks.
 * @param username  of the request: a B-TID, if all is well
 * @throws UsageError, UeError SIM_MALFORMED, STATE_UNREADABLE, ConfigError
 */
export async function keysOf(options: KeyOptions, username: string): Promise<KeyMaterial[]> {
  const { simFile, subscribersFile, ks, ksNaf } = options
  const given = [simFile, subscribersFile, ks, ksNaf].filter((option) => option !== undefined)
  if (given.length > 1) throw new UsageError('one of --sim, --subscribers, --ks and --ks-naf')
  const named = parseBtid(username) && fromBase64(username.slice(0, username.indexOf('@')))
  const rands = options.rands.map((text) => octets('rand', text, 16))
  if (ksNaf !== undefined) {
    return [{ label: 'this Ks_NAF', expected: true, material: { ksNaf: new Secret(octets('ks-naf', ksNaf, 32)) } }]
  }
  if (ks !== undefined) return [givenKs(options, ks, rands[0] ?? named, named)]
  if (subscribersFile !== undefined) return subscribersKeys(options, subscribersFile, rands, named)
  return simFile === undefined ? [] : simKeys(await loadSim(simFile), simFile, rands, named)
}

function givenKs(
  { impi: text }: KeyOptions,
  ks: string,
  rand: Uint8Array | undefined,
  named: Uint8Array | undefined,
): KeyMaterial {
  const impi = parseImpi(text ?? '')
  if (!impi) throw new UsageError('--ks needs --impi, the private identity of that run')
  if (!rand) throw new UsageError('--ks needs --rand: there is none in the username')
  const expected = named === undefined || same(named, rand)
  return { label: 'this Ks', expected, material: { ks: new Secret(octets('ks', ks, 32)), rand, impi } }
}

async function subscribersKeys(
  { impi }: KeyOptions,
  file: string,
  rands: readonly Uint8Array[],
  named: Uint8Array | undefined,
): Promise<KeyMaterial[]> {
  const subscribers = [...loadSubscribers(await textOf(file), file).values()]
  const wanted = subscribers.filter((subscriber) => impi === undefined || subscriber.impi === impi)
  if (wanted.length === 0) throw new UsageError(`${file}: no such subscriber`)
  return wanted.flatMap((subscriber) => {
    const uids = subscriber.guss.ussList.flatMap((uss) => uss.uids)
    return derived(subscriber, [...new Set(uids)], rands, named)
  })
}

function simKeys(
  sim: Sim,
  simFile: string,
  rands: readonly Uint8Array[],
  named: Uint8Array | undefined,
): KeyMaterial[] {
  const held = fileState(stateFileOf(simFile), sim).read().bootstrap
  const keys = derived(sim, sim.impus, rands, named)
  if (!held) return keys
  const { ks, rand, expiresAt } = held
  if (named && same(rand, named)) return keys.map((key) => (key.expected ? { ...key, expiresAt } : key))
  const label = 'the bootstrap that the SIM holds now'
  return [
    ...keys,
    { label, expected: named === undefined, material: { ks, rand, impi: sim.impi }, impus: sim.impus, expiresAt },
  ]
}

/** Ks of the run that the B-TID names, and of other runs of the same subscriber. */
function derived(
  { impi, k, opc }: Pick<Sim, 'impi' | 'k' | 'opc'>,
  impus: readonly Impu[],
  rands: readonly Uint8Array[],
  named: Uint8Array | undefined,
): KeyMaterial[] {
  const algorithm = milenage(k, opc)
  const others = rands.filter((rand) => !named || !same(rand, named))
  return [...(named ? [named] : []), ...others].map((rand) => {
    const { ck, ik } = algorithm.f2345(rand)
    const expected = named === undefined || rand === named
    const label =
      rand === named ? `the key of ${impi}` : `the key of ${impi} from another bootstrap (RAND ${toHex(rand)})`
    return { label, expected, material: { ks: deriveKs(ck, ik), rand, impi }, impus }
  })
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

function octets(option: string, text: string, length: number): Uint8Array {
  if (text.length !== 2 * length || !/^[0-9a-fA-F]+$/.test(text)) {
    throw new UsageError(`--${option} takes ${2 * length} hex digits`)
  }
  return fromHex(text)
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new UsageError(`${file}: cannot be read`, { cause })
  }
}
