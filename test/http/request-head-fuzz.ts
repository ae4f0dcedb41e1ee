import assert from 'node:assert/strict'
import { foldName } from '../../src/core/header-names.ts'
import { headerValues } from '../../src/core/headers.ts'
import { Likeness } from '../../src/http/likeness.ts'
import { type HeadLimits, type RequestHead, readRequestHead } from '../../src/http/request-head.ts'
import { type NodeRequest, nodeOracle } from './node-oracle.ts'
import { type Case, caseOf, type Random, randomOf } from './request-head-cases.ts'

/** What many cases came to. */
export interface Findings {
  cases: number
  /** Cases of which at least the first request was accepted. */
  accepted: number
  /** Accepted requests. */
  requests: number
  /** Accepted cases that a change had been made to. */
  acceptedChanged: number
  /** Prefixes of accepted heads that were looked at. */
  prefixes: number
  /** Each begins with the seed of its case. */
  readonly differences: string[]
}

/** One accepted request, and the octets that came for it. */
interface Taken {
  readonly head: RequestHead
  readonly body: string
}

/** What of a case the reader accepts from the first octet on: octets that end where a request ends. */
interface Stream {
  readonly seed: number
  readonly octets: Buffer
  readonly taken: readonly Taken[]
}

/**
 * Reads case after case with `readRequestHead`, and what it accepts with Node's own server, many on one connection.
 * @param isDone  asked between connections, with the number of cases so far
 */
export async function fuzz(firstSeed: number, isDone: (cases: number) => boolean): Promise<Findings> {
  const findings: Findings = { cases: 0, accepted: 0, requests: 0, acceptedChanged: 0, prefixes: 0, differences: [] }
  const waiting = new Map<number, Stream[]>()
  const oracles = new Map<number, ReturnType<typeof nodeOracle>>()
  for (let seed = firstSeed; !isDone(findings.cases) && findings.differences.length < 20; ) {
    const full = new Map<number, Stream[]>()
    while (full.size === 0) {
      const one = caseOf(seed++)
      findings.cases++
      const stream = streamOf(one, findings)
      if (!stream) continue
      const { headerBytes } = one.limits
      const streams = waiting.get(headerBytes) ?? []
      streams.push(stream)
      const isLast = stream.taken.at(-1)?.head.keepsAlive === false
      if (isLast || streams.length >= 64) full.set(headerBytes, streams)
      waiting.set(headerBytes, full.has(headerBytes) ? [] : streams)
    }
    for (const [headerBytes, streams] of full) {
      const oracle = oracles.get(headerBytes) ?? nodeOracle(headerBytes)
      oracles.set(headerBytes, oracle)
      if ((await differenceOf(streams, oracle)) === undefined) continue
      const before = findings.differences.length
      for (const stream of streams) {
        const difference = await differenceOf([stream], oracle)
        if (difference) findings.differences.push(`${stream.seed}: ${difference}\n${shown(stream.octets)}`)
      }
      if (findings.differences.length === before) {
        findings.differences.push(`${streams.map(({ seed }) => seed)}: only one behind the other`)
      }
    }
  }
  return findings
}

const shown = (octets: Buffer): string => JSON.stringify(octets.toString('latin1'))

function streamOf(one: Case, findings: Findings): Stream | undefined {
  const random = randomOf(~one.seed)
  let octets = Buffer.from(one.text, 'latin1')
  const taken: Taken[] = []
  let at = 0
  for (;;) {
    const head = readRequestHead(octets.subarray(at), one.limits)
    if (typeof head === 'string') {
      if (head === 'more' && octets.length - at >= one.limits.headerBytes) {
        findings.differences.push(`${one.seed}: waits for more than a head may be\n${shown(octets)}`)
      }
      break
    }
    const fault = faultOf(head, octets.subarray(at), one.limits, random, findings)
    if (fault) findings.differences.push(`${one.seed}: ${fault}\n${shown(octets)}`)
    const bodyAt = at + head.length
    at = bodyAt + head.contentLength
    // A length that was changed: what follows is body all the same.
    if (at > octets.length) octets = Buffer.concat([octets, Buffer.alloc(at - octets.length, FILLING, 'latin1')])
    taken.push({ head, body: octets.toString('latin1', bodyAt, at) })
    if (!head.keepsAlive) break
  }
  const isChanged = one.valid === undefined
  if (!isChanged && (taken.length !== one.valid || at !== octets.length)) {
    findings.differences.push(`${one.seed}: refused what the grammar has\n${shown(octets)}`)
  }
  if (taken.length === 0) return undefined
  findings.accepted++
  findings.requests += taken.length
  if (isChanged) findings.acceptedChanged++
  return { seed: one.seed, octets: octets.subarray(0, at), taken }
}

const FILLING = 'GET /smuggled HTTP/1.1\r\nHost: s\r\n\r\n'

/** What no request may have that was accepted, found in another way than the reader's. */
function faultOf(
  head: RequestHead,
  octets: Buffer,
  limits: HeadLimits,
  random: Random,
  findings: Findings,
): string | undefined {
  const text = octets.toString('latin1', 0, head.length)
  const [requestLine, ...lines] = text.split('\r\n')
  if (lines.splice(-2).join() !== ',') return 'does not end with an empty line'
  if (/[\r\n\0-\x08\x0b\x0c\x0e-\x1f\x7f]/.test([requestLine, ...lines].join(''))) return 'a control'
  if (requestLine !== `${head.method} ${head.target} HTTP/1.1`) return 'another request line'
  if (!/^\/[!$-;=?-Z[\]_a-z~]*$/.test(head.target)) return 'a target of other octets'
  if (head.length > limits.headerBytes || lines.length >= limits.headerCount) return 'beyond the limits'
  if (head.contentLength > (/^[GH]/.test(head.method) ? 0 : limits.bodyBytes)) return 'a body beyond the limits'
  const rawHeaders = lines.flatMap((line) => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon), line.slice(colon + 1).replace(/^[\t ]+|[\t ]+$/g, '')]
  })
  const folded = rawHeaders.filter((_, i) => i % 2 === 0).map(foldName)
  const count = (name: string) => folded.filter((other) => other === name).length
  if (folded.some((name) => NEVER.test(name))) return 'a header for the general server'
  if (count('host') !== 1 || count('contentlength') > 1 || count('connection') > 1) return 'a header twice'
  if (head.host === '') return 'an empty Host'
  const options = headerValues(rawHeaders, 'connection').map((value) => value.toLowerCase())
  if (options.some((value) => value !== 'close' && value !== 'keep-alive')) return 'a connection option'
  if (!headerValues(rawHeaders, 'content-length').every((value) => /^\d{1,15}$/.test(value))) return 'an odd length'
  for (let cuts = findings.requests % 200 === 0 ? head.length : 3; cuts > 0; cuts--) {
    const cut = cuts > 3 ? cuts - 1 : random(head.length)
    findings.prefixes++
    const answer = readRequestHead(octets.subarray(0, cut), limits)
    if (answer !== 'more') return `${typeof answer === 'string' ? answer : 'a head'} after ${cut} octets`
  }
  try {
    assert.deepEqual(head.rawHeaders, rawHeaders)
    assert.deepEqual([head.host], headerValues(rawHeaders, 'host'))
    assert.deepEqual(head.authorization, headerValues(rawHeaders, 'authorization'))
    assert.deepEqual(head.intendedIdentity, headerValues(rawHeaders, 'x-3gpp-intended-identity'))
    assert.equal(head.userAgent, headerValues(rawHeaders, 'user-agent')[0])
    assert.equal(head.contentLength, Number(headerValues(rawHeaders, 'content-length')[0] ?? 0))
    assert.deepEqual(readRequestHead(octets.subarray(0, head.length), limits), head)
    return undefined
  } catch (error) {
    return String(error)
  }
}

const NEVER = /^(?:transferencoding|upgrade|expect|trailer|te|proxyconnection|http2settings)$/

const SENTINEL: Taken = {
  head: {
    method: 'GET',
    target: '/sentinel',
    rawHeaders: ['Host', 'sentinel'],
    host: 'sentinel',
    contentLength: 0,
    keepsAlive: true,
    length: 0,
    authorization: [],
    userAgent: undefined,
    intendedIdentity: [],
    authorizationAt: undefined,
    likeness: new Likeness(),
  },
  body: '',
}
const SENTINEL_OCTETS = Buffer.from('GET /sentinel HTTP/1.1\r\nHost: sentinel\r\n\r\n')

/** What Node makes of these streams in a row, where it is not the same; behind them comes one request more. */
async function differenceOf(
  streams: readonly Stream[],
  oracle: ReturnType<typeof nodeOracle>,
): Promise<string | undefined> {
  const expected = streams.flatMap(({ taken }) => taken)
  const isClosed = expected.at(-1)?.head.keepsAlive === false
  const octets = Buffer.concat([...streams.map((stream) => stream.octets), ...(isClosed ? [] : [SENTINEL_OCTETS])])
  const { requests, fault } = await oracle(cut(octets, randomOf(streams[0]?.seed ?? 0)))
  if (fault !== undefined) return `Node: ${fault}`
  try {
    assert.deepEqual(requests, [...expected, ...(isClosed ? [] : [SENTINEL])].map(asNodeWould))
    return undefined
  } catch (error) {
    return String(error)
  }
}

const asNodeWould = ({ head, body }: Taken): NodeRequest => ({
  method: head.method,
  target: head.target,
  rawHeaders: head.rawHeaders,
  host: head.host,
  keepsAlive: head.keepsAlive,
  body,
  isWhole: true,
})

function cut(octets: Buffer, random: Random): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = 0; at < octets.length; ) {
    const size = 1 + random(random(2) ? 100 : 20_000)
    chunks.push(octets.subarray(at, at + size))
    at += size
  }
  return chunks
}
