import assert from 'node:assert/strict'
import type { FaultCode } from '../../src/errors.ts'
import type { TestLab } from './lab.ts'
import type { RawAnswer } from './raw-client.ts'

/** What a refusal has to look like, from outside and in the audit. */
export interface Refusal {
  readonly status: number
  readonly code: FaultCode
  /** Whether the challenges of a 401 say stale=true. */
  readonly stale?: boolean
  /** How many of them there are: one for each algorithm. */
  readonly challenges?: number
}

/** The part of a lab that refusals are looked up in. */
export type Witness = Pick<TestLab, 'decisions' | 'seen'>

/**
 * Holds every refusal to the same form: problem+json that says no more than it must, its request id in the audit beside
 * the fault code, a fresh challenge exactly where it is a 401, and nothing on its way to the application server.
 */
export async function assertRefused(lab: Witness, send: () => Promise<RawAnswer>, expected: Refusal): Promise<void> {
  const seen = lab.seen.length
  const answer = await send()
  assertRefusal(lab, answer, expected)
  assert.equal(lab.seen.length, seen, 'nothing reached the application server')
}

/** As `assertRefused`, for an answer that is there already. */
export function assertRefusal({ decisions }: Pick<Witness, 'decisions'>, answer: RawAnswer, expected: Refusal): void {
  const requestId = problemIdOf(answer)
  const records = decisions.filter(({ event, record }) => record.requestId === requestId && event.endsWith('.refused'))
  assert.deepEqual(
    records.map(({ record: { code, status } }) => [answer.status, status, code]),
    [[expected.status, expected.status, expected.code]],
  )
  const challenges = answer.values('www-authenticate')
  assert.equal(challenges.length, expected.status === 401 ? (expected.challenges ?? 1) : 0)
  for (const challenge of challenges) {
    assert.match(challenge, /^Digest realm="3GPP-bootstrapping@/)
    assert.equal(/stale=true/.test(challenge), expected.stale ?? false, challenge)
    assert.doesNotMatch(challenge, /stale=false/)
  }
  const nonces = new Set(challenges.map(nonceOf))
  assert.equal(nonces.size, Math.min(challenges.length, 1))
  for (const nonce of nonces) assert.ok(!usedNonces.has(nonce) && usedNonces.add(nonce), 'the nonce is fresh')
  if (expected.status === 503) assert.match(answer.header('retry-after') ?? '', /^\d+$/)
}

/** The request id of a problem that says nothing but what every problem says. */
export function problemIdOf(answer: RawAnswer): string {
  assert.deepEqual(answer.values('content-type'), ['application/problem+json'])
  const problem = JSON.parse(answer.body.toString()) as Record<string, unknown>
  assert.deepEqual(Object.keys(problem).sort(), ['instance', 'status', 'title', 'type'])
  assert.equal(problem.type, 'about:blank')
  assert.equal(problem.status, answer.status)
  assert.match(String(problem.title), /^[A-Z][A-Za-z ]+$/)
  const [, requestId] = /^urn:uuid:([0-9a-f-]{36})$/.exec(String(problem.instance)) ?? []
  assert.ok(requestId, 'instance is a request id')
  return requestId
}

export const nonceOf = (challenge: string): string => /nonce="([^"]+)"/.exec(challenge)?.[1] ?? ''

/** Of this whole run. */
const usedNonces = new Set<string>()
