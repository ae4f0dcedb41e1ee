import type { SecureContextOptions } from 'node:tls'
import { Agent, request } from 'undici'
import type { EpochMs } from '../core/bytes.ts'
import type { FaultCode } from '../errors.ts'
import { GbaError } from '../errors.ts'
import { formatBir, NBSP_GBA_PATH, parseBia, WRONG_URI_CAUSE } from './nbsp-gba.ts'
import type { KeySource } from './port.ts'

export interface HttpKeySourceOptions {
  /** apiRoot of the BSF: `https://bsf.example:8444`, with a path where the BSF has one. */
  readonly apiRoot: string
  /** Our certificate, and the CAs that vouch for the BSF. */
  readonly tls: SecureContextOptions
  readonly timeoutMs: number
  /** Key life where the BSF names none. */
  readonly assumedLifetimeS: number
  readonly now: () => EpochMs
}

/** An answer holds a key and a few settings: nobody needs more. */
const MAX_ANSWER_OCTETS = 256 * 1024

/** Zn as Nbsp_GBA over HTTPS with a client certificate. @see 3GPP TS 29.309 clause 5.2.2 (Rel-18) */
export function httpKeySource(options: HttpKeySourceOptions): KeySource {
  const { timeoutMs, now } = options
  const agent = new Agent({
    connect: { ...options.tls, rejectUnauthorized: true, timeout: timeoutMs } as Agent.Options['connect'] & object,
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    connections: 16,
    pipelining: 1,
    maxResponseSize: MAX_ANSWER_OCTETS,
  })
  const url = options.apiRoot.replace(/\/+$/, '') + NBSP_GBA_PATH
  return {
    async fetch(bir) {
      const { status, text } = await post(url, JSON.stringify(formatBir(bir)), agent, timeoutMs)
      if (status !== 200) throw new GbaError(codeOfAnswer(status, text), `the BSF answered ${status}`)
      const bia = parseBia(jsonOf(text), now(), options.assumedLifetimeS * 1000)
      if (!bia) throw new GbaError('ZN_ANSWER_MALFORMED', 'not a BootstrappingInfoResponse')
      return bia
    },
    close: () => agent.destroy(),
  }
}

async function post(url: string, body: string, dispatcher: Agent, timeoutMs: number) {
  const signal = AbortSignal.timeout(timeoutMs)
  // A request that still waits for its connection does not hear the signal.
  const late = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
  const answered = async () => {
    const answer = await request(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json, application/problem+json' },
      body,
      dispatcher,
      signal,
    })
    return { status: answer.statusCode, text: await answer.body.text() }
  }
  try {
    return await Promise.race([answered(), late])
  } catch (cause) {
    throw new GbaError('ZN_BSF_UNREACHABLE', cause instanceof Error ? cause.message : 'no answer', { cause })
  }
}

/**
 * Reading: TS 29.309 lists statuses, and its table of causes is not public text we have; the status decides, but for a
 * 404 that says the URI is wrong, or that is no problem at all: taken for an unknown B-TID it would send every UE to
 * bootstrap anew because of a mistyped apiRoot. 403 is the NAF that the BSF does not trust.
 */
function codeOfAnswer(status: number, text: string): FaultCode {
  if (status === 404) return namesWrongUri(jsonOf(text)) ? 'ZN_ANSWER_MALFORMED' : 'ZN_BTID_UNKNOWN'
  if (status === 403 || status === 401) return 'ZN_NOT_AUTHORISED'
  if (status === 429 || status >= 500) return 'ZN_BSF_UNREACHABLE'
  return 'ZN_ANSWER_MALFORMED'
}

/** @see 3GPP TS 29.500 clause 5.2.7.2 (Rel-17) */
function namesWrongUri(problem: unknown): boolean {
  if (typeof problem !== 'object' || problem === null) return true
  return 'cause' in problem && problem.cause === WRONG_URI_CAUSE
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
