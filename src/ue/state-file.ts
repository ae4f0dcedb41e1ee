import { createHash } from 'node:crypto'
import { closeSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { fromHex, toHex } from '../core/bytes.ts'
import { type DigestAlgorithm, parseAlgorithm, type Qop } from '../core/digest.ts'
import { parseBtid, parseTmpi } from '../core/identity.ts'
import { Secret } from '../core/secret.ts'
import { UeError } from './fault.ts'
import type { Sim } from './sim.ts'
import { freshState, type HeldBootstrap, type HeldNonce, type StateStore, type UeState } from './state.ts'

/** `alice.yaml` remembers in `alice.state.json`. */
export const stateFileOf = (simFile: string): string => `${simFile.replace(/\.ya?ml$/, '')}.state.json`

/**
 * State beside the SIM file, mode 0600 since it holds Ks. It belongs to one card: when key, identity or starting SQN
 * in the SIM file change, the card counts as a new one. Synchronous, so that within a process nothing comes between
 * reading and writing; a lock file does the same between processes.
 * @throws UeError STATE_UNREADABLE, STATE_UNWRITABLE
 */
export function fileState(path: string, sim: Sim): StateStore {
  const card = cardOf(sim)
  const read = (): UeState => {
    const text = readIfThere(path)
    return (text === undefined ? undefined : parseState(text, card, path)) ?? freshState(sim)
  }
  return {
    read,
    update(change) {
      const unlock = lock(`${path}.lock`)
      try {
        const next = change(read())
        const draft = `${path}.${process.pid}.tmp`
        writeFileSync(draft, `${JSON.stringify(toJson(next, card), undefined, 1)}\n`, { mode: 0o600, flush: true })
        renameSync(draft, path)
        return next
      } catch (cause) {
        throw cause instanceof UeError
          ? cause
          : new UeError('STATE_UNWRITABLE', `${path}: cannot be written`, { cause })
      } finally {
        unlock()
      }
    },
  }
}

/** Names a card without telling its key. */
function cardOf({ impi, k, opc, sqn, ind }: Sim): string {
  const digest = createHash('sha256').update(impi).update('\0').update(k.expose()).update(opc.expose())
  return [sqn, ...ind]
    .reduce((sum, each) => sum.update(each), digest)
    .digest('hex')
    .slice(0, 32)
}

const LOCK_TIMEOUT_MS = 5_000

/** A lock that nobody has touched for so long was left behind by a process that died. */
function lock(path: string): () => void {
  const giveUpAt = Date.now() + 2 * LOCK_TIMEOUT_MS
  for (;;) {
    try {
      closeSync(openSync(path, 'wx', 0o600))
      return () => rmSync(path, { force: true })
    } catch (cause) {
      if (!isCode(cause, 'EEXIST') || Date.now() > giveUpAt) {
        throw new UeError('STATE_UNWRITABLE', `${path}: cannot be made`, { cause })
      }
      const since = statSync(path, { throwIfNoEntry: false })?.mtimeMs
      if (since !== undefined && Date.now() - since > LOCK_TIMEOUT_MS) rmSync(path, { force: true })
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2)
    }
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    if (isCode(cause, 'ENOENT')) return undefined
    throw new UeError('STATE_UNREADABLE', `${path}: cannot be read`, { cause })
  }
}

const isCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code

const toJson = ({ usim, bootstrap, tmpi, nonces }: UeState, card: string) => ({
  version: 1,
  card,
  sqns: usim.sqns.map(toHex),
  ...(bootstrap && {
    bootstrap: {
      btid: bootstrap.btid,
      rand: toHex(bootstrap.rand),
      ks: toHex(bootstrap.ks.expose(32)),
      expiresAt: bootstrap.expiresAt,
    },
  }),
  ...(tmpi && { tmpi }),
  nonces: Object.fromEntries(nonces),
})

/** @returns undefined for another card's state @throws UeError STATE_UNREADABLE */
function parseState(text: string, card: string, path: string): UeState | undefined {
  try {
    const json = record(JSON.parse(text))
    if (json.version !== 1) throw new TypeError('version')
    if (json.card !== card) return undefined
    const tmpi = json.tmpi === undefined ? undefined : defined(parseTmpi(string(json.tmpi)))
    return {
      usim: { sqns: array(json.sqns, 32).map((sqn) => fromHex(string(sqn), 6)) },
      ...(json.bootstrap !== undefined && { bootstrap: bootstrapOf(record(json.bootstrap)) }),
      ...(tmpi && { tmpi }),
      nonces: new Map(Object.entries(record(json.nonces)).map(([origin, each]) => [origin, nonceOf(record(each))])),
    }
  } catch (cause) {
    throw new UeError('STATE_UNREADABLE', `${path}: not a state file; remove it to start anew`, { cause })
  }
}

const bootstrapOf = (json: Record<string, unknown>): HeldBootstrap => ({
  btid: defined(parseBtid(string(json.btid))),
  rand: fromHex(string(json.rand), 16),
  ks: new Secret(fromHex(string(json.ks), 32)),
  expiresAt: integer(json.expiresAt),
})

function nonceOf(json: Record<string, unknown>): HeldNonce {
  const challenge = record(json.challenge)
  const algorithm: DigestAlgorithm | undefined =
    challenge.algorithm === undefined ? undefined : defined(parseAlgorithm(string(challenge.algorithm)))
  return {
    challenge: {
      realm: string(challenge.realm),
      nonce: string(challenge.nonce),
      ...(algorithm && { algorithm }),
      qop: array(challenge.qop).map((qop): Qop => (qop === 'auth-int' ? qop : 'auth')),
      ...(challenge.opaque !== undefined && { opaque: string(challenge.opaque) }),
    },
    count: integer(json.count),
    cnonce: string(json.cnonce),
    ...(json.btid !== undefined && { btid: defined(parseBtid(string(json.btid))) }),
  }
}

function record(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError('not an object')
  return value as Record<string, unknown>
}

function array(value: unknown, length?: number): unknown[] {
  if (!Array.isArray(value) || (length !== undefined && value.length !== length)) throw new TypeError('not such a list')
  return value
}

function string(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('not a text')
  return value
}

function integer(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw new TypeError('not a count')
  return value
}

function defined<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new TypeError('malformed')
  return value
}
