import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { type FaultCode, GbaError } from '../../src/errors.ts'
import type { AvSource } from '../../src/zh/port.ts'
import { BSF_NAMES, type TestBsf, testBsf } from '../support/bsf.ts'
import { challengeOf, type HandUb, handUb } from '../support/hand-ub.ts'
import { rawConnect, rawExchange, requestOctets } from '../support/raw-client.ts'
import { problemIdOf } from '../support/refusals.ts'

// What is refused on Ub, before any vector is drawn.
const HOST = `Host: ${BSF_NAMES[0]}`
const IMPI = '001010000000001@ims.mnc001.mcc001.3gppnetwork.org'
const digest = (params: string) => `Authorization: Digest ${params}`
const opening = (username: string) => `username="${username}", realm="x", nonce="", uri="/", response=""`

describe('a request on Ub that is refused draws no vector', () => {
  let bsf: TestBsf
  let ub: HandUb
  before(async () => {
    bsf = await testBsf({ bsf: { ub: { port: 0, headersTimeoutMs: 300, requestTimeoutMs: 600 } } })
    ub = handUb(bsf.at, bsf.cards[0])
  })
  after(async () => {
    await bsf.close()
    assert.ok(!bsf.decisions.some(({ record }) => record.code === 'INTERNAL'))
  })

  async function refused(octets: Uint8Array, status: number, code: FaultCode): Promise<void> {
    const drawn = bsf.count('zh.av-drawn')
    const answer = await rawExchange(bsf.at, octets)
    const requestId = problemIdOf(answer)
    const records = bsf.decisions.filter(({ record }) => record.requestId === requestId)
    assert.deepEqual(
      records.map(({ event, record }) => [answer.status, event, record.status, record.code]),
      [[status, 'ub.refused', status, code]],
    )
    assert.equal(bsf.count('zh.av-drawn'), drawn)
    assert.equal(answer.header('www-authenticate'), undefined)
  }
  const get = (...lines: string[]) => requestOctets('GET / HTTP/1.1', [HOST, ...lines])

  test('while one in order draws one', async () => {
    assert.ok(challengeOf(await rawExchange(bsf.at, get(digest(opening(IMPI))))))
    assert.equal(bsf.count('zh.av-drawn'), 1)
  })

  const malformed: Record<string, readonly string[]> = {
    'no Authorization': [],
    'an empty Authorization': ['Authorization:'],
    'another scheme': ['Authorization: Basic YTpi'],
    'no username': [digest('realm="x", nonce="", uri="/", response=""')],
    'an empty username': [digest(opening(''))],
    'a username without a domain': [digest(opening('001010000000001'))],
    'a username with a space': [digest(opening('00101 0000000001@ims.mnc001.mcc001.3gppnetwork.org'))],
    'a username of 300 characters': [digest(opening(`${'1'.repeat(300)}@example.com`))],
    'two Authorization lines': [digest(opening(IMPI)), digest(opening(IMPI))],
    'a parameter twice': [digest(`${opening(IMPI)}, username="${IMPI}"`)],
    'a response without a nonce': [
      digest(`username="${IMPI}", realm="x", nonce="", uri="/", response="${'0'.repeat(32)}"`),
    ],
    'no response at all': [digest(`username="${IMPI}", realm="x", nonce="", uri="/"`)],
    'no uri': [digest(`username="${IMPI}", realm="x", nonce="", response=""`)],
    'nine kilobytes': [digest(`${opening(IMPI)}, x="${'y'.repeat(9000)}"`)],
  }
  for (const [name, lines] of Object.entries(malformed)) {
    test(name, () => refused(get(...lines), 400, 'UB_REQUEST_MALFORMED'))
  }
  for (const [name, auts] of Object.entries({
    'no base64': '!',
    '13 octets': 'A'.repeat(18),
    '15 octets': 'A'.repeat(20),
    nothing: '',
  })) {
    test(`AUTS that is ${name}`, async () => {
      const challenge = challengeOf(await ub.hello())
      await refused(ub.answerTo(challenge, { auts, password: new Uint8Array() }), 400, 'UB_REQUEST_MALFORMED')
      // it came before the challenge was looked at, which is still there
      assert.equal((await ub.send(ub.answerTo(challenge))).status, 200)
    })
  }
  test('an answer for another uri', async () => {
    const challenge = challengeOf(await ub.hello())
    await refused(ub.answerTo(challenge, { uri: '/other' }), 400, 'UB_REQUEST_MALFORMED')
  })
  test('a body, of whatever framing', async () => {
    for (const framing of ['Content-Length: 3', 'Transfer-Encoding: chunked']) {
      const body = framing.startsWith('C') ? 'abc' : '3\r\nabc\r\n0\r\n\r\n'
      await refused(
        requestOctets('GET / HTTP/1.1', [HOST, digest(opening(IMPI)), framing], body),
        400,
        'UB_REQUEST_MALFORMED',
      )
    }
  })
  test('no Host, two Hosts, another version', async () => {
    const line = digest(opening(IMPI))
    await refused(requestOctets('GET / HTTP/1.1', [line]), 400, 'UB_REQUEST_MALFORMED')
    await refused(requestOctets('GET / HTTP/1.1', [HOST, HOST, line]), 400, 'UB_REQUEST_MALFORMED')
    await refused(requestOctets('GET / HTTP/2.0', [HOST, line]), 400, 'UB_REQUEST_MALFORMED')
    await refused(requestOctets('GET / HTTP/0.9', [HOST, line]), 400, 'UB_REQUEST_MALFORMED')
  })
  test('another path', async () => {
    for (const target of ['/bootstrap', '//', '/?x', `http://${BSF_NAMES[0]}/x`, '/%2e']) {
      await refused(requestOctets(`GET ${target} HTTP/1.1`, [HOST, digest(opening(IMPI))]), 404, 'UB_NOT_FOUND')
    }
  })
  test('another method: 405, and told which', async () => {
    for (const method of ['POST', 'PUT', 'HEAD', 'DELETE', 'OPTIONS', 'PATCH']) {
      const octets = requestOctets(`${method} / HTTP/1.1`, [HOST, digest(opening(IMPI))])
      const drawn = bsf.count('zh.av-drawn')
      const answer = await rawExchange(bsf.at, octets, method)
      assert.equal(answer.status, 405)
      assert.equal(answer.header('allow'), 'GET')
      assert.equal(bsf.count('zh.av-drawn'), drawn)
    }
  })
  test('an unknown IMPI: 403', () =>
    refused(get(digest(opening('001019999999999@ims.mnc001.mcc001.3gppnetwork.org'))), 403, 'ZH_IMPI_UNKNOWN'))
  test('an unknown TMPI: 403', () =>
    refused(get(digest(opening(`${'A'.repeat(32)}@tmpi.bsf.3gppnetwork.org`))), 403, 'UB_TMPI_UNKNOWN'))
  test('an answer of an unknown IMPI to a challenge that is gone: 403', async () => {
    const challenge = challengeOf(await ub.hello())
    await ub.send(ub.answerTo(challenge))
    const username = '001019999999999@ims.mnc001.mcc001.3gppnetwork.org'
    await refused(ub.answerTo(challenge, { username }), 403, 'ZH_IMPI_UNKNOWN')
  })
  test('a header that is too large: 431', () => refused(get(`X: ${'x'.repeat(20_000)}`), 431, 'UT_HEADERS_TOO_LARGE'))
  test('a header that does not end: 408', async () => {
    const connection = await rawConnect(bsf.at)
    connection.write('GET / HTTP/1.1\r\nX: ')
    const answer = await connection.answer()
    assert.equal(answer.status, 408)
    problemIdOf(answer)
    await connection.closed
    connection.close()
  })
  test('a peer that was refused and goes on writing is cut off, and recorded once', async () => {
    const before = bsf.count('ub.refused')
    // half-open: the server's end of the connection is not the peer's
    const socket = connect({ port: bsf.at.port, host: '127.0.0.1', allowHalfOpen: true })
    socket.write('GET / HTTP/1.1\r\nX: ')
    const drip = setInterval(() => socket.writable && socket.write('x'), 50)
    const startedAt = Date.now()
    socket.resume()
    await new Promise<void>((resolve) => socket.once('error', () => resolve()).once('close', () => resolve()))
    clearInterval(drip)
    socket.destroy()
    assert.ok(Date.now() - startedAt < 4000)
    assert.equal(bsf.count('ub.refused'), before + 1)
  })
})

describe('an HSS that cannot be reached', () => {
  test('makes Ub answer 503 with Retry-After, and later it goes on', async () => {
    let down: 'unreachable' | 'broken' = 'unreachable'
    const avSource: AvSource = {
      async draw() {
        if (down === 'broken') throw new TypeError('a fault of ours')
        throw new GbaError('ZH_HSS_UNREACHABLE', `no answer for ${IMPI}`)
      },
    }
    const bsf = await testBsf({ avSource })
    try {
      const ub = handUb(bsf.at, bsf.cards[0])
      const answer = await ub.hello()
      assert.equal(answer.status, 503)
      assert.match(answer.header('retry-after') ?? '', /^\d+$/)
      assert.equal(answer.header('www-authenticate'), undefined)
      const requestId = problemIdOf(answer)
      assert.equal(bsf.decisions.at(-1)?.record.requestId, requestId)
      assert.equal(bsf.decisions.at(-1)?.record.code, 'ZH_HSS_UNREACHABLE')
      assert.equal(bsf.count('zh.av-drawn'), 0)
      down = 'broken'
      const ours = await ub.hello()
      assert.equal(ours.status, 500)
      problemIdOf(ours)
      assert.equal(bsf.decisions.at(-1)?.record.code, 'INTERNAL')
    } finally {
      await bsf.close()
    }
  })
})

test('more challenges than the BSF keeps make it answer 503, and those that wait stay good', async () => {
  const bsf = await testBsf({ bsf: { ub: { port: 0, maxPendingChallenges: 3 } } })
  try {
    const ub = handUb(bsf.at, bsf.cards[0])
    const waiting = []
    for (let i = 0; i < 3; i++) waiting.push(challengeOf(await ub.hello()))
    for (let i = 0; i < 3; i++) {
      const answer = await ub.hello()
      assert.equal(answer.status, 503)
      assert.match(answer.header('retry-after') ?? '', /^\d+$/)
      problemIdOf(answer)
    }
    for (const challenge of waiting) assert.equal((await ub.send(ub.answerTo(challenge))).status, 200)
  } finally {
    await bsf.close()
  }
})
