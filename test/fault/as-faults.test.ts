import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { after, before, beforeEach, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { impuOf } from '../../src/lab.ts'
import { type Fault, type FaultProxy, faultProxy } from '../support/fault-proxy.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { rawConnect } from '../support/raw-client.ts'
import { assertRefusal } from '../support/refusals.ts'
import { type Arrived, type ScriptedAs, scriptedAs } from '../support/scripted-as.ts'
import { eventually } from '../support/workers.ts'

// The promise: an application server that is gone is told of at once, one that is slow at the limit; what has a side
// effect goes out once, whatever becomes of it; and an answer that broke off is never taken for a whole one.

const own = (document: string) => `/resource-lists/users/${impuOf('alice')}/${document}`
const TIMEOUT_MS = 400
const DOWN_WITHIN_MS = 100
const SIZE = 200_000
const WHOLE = Buffer.from('0123456789abcdef'.repeat(SIZE / 16))

type Script = (socket: Socket, request: Arrived) => void
const answers =
  (body: Buffer): Script =>
  (socket) =>
    void socket.write(Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`), body]))
const chunked = (body: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n`),
    body,
    Buffer.from('\r\n0\r\n\r\n'),
  ])

describe('an application server', () => {
  let as: ScriptedAs
  let proxy: FaultProxy
  let lab: TestLab
  let ue: HandUe
  let script: Script
  before(async () => {
    as = await scriptedAs((socket, request) => script(socket, request))
    proxy = await faultProxy(as.port)
    lab = await testLab({
      as: null,
      ap: {
        appServers: [
          { name: 'lab', url: `http://127.0.0.1:${proxy.port}`, timeoutMs: TIMEOUT_MS, connectTimeoutMs: TIMEOUT_MS },
        ],
      },
    })
    ue = await handUe(lab)
  })
  beforeEach(async () => {
    script = answers(Buffer.from('whole'))
    await proxy.become({ kind: 'pass' })
  })
  after(async () => {
    await lab.close()
    await proxy.close()
    await as.close()
    assert.ok(!lab.decisions.some(({ record }) => record.code === 'INTERNAL'))
  })

  let documents = 0
  const fresh = () => own(`document-${documents++}`)
  const arrivals = (target: string) => as.arrived.filter(({ head }) => head.includes(` ${target} `)).length
  const put = async (target: string) => ue.request('PUT', target, { body: '<a/>' })

  test('that is down is told of at once: 502, and it is served again as soon as it is back', async () => {
    await ue.request('GET', fresh())
    await proxy.become({ kind: 'closed' })
    const passed: number[] = []
    for (let i = 0; i < 10; i++) {
      const octets = await ue.signed(i % 2 ? 'PUT' : 'GET', fresh(), i % 2 ? { body: '<a/>' } : {})
      const connection = await rawConnect(ue.at)
      const since = performance.now()
      connection.write(octets)
      assertRefusal(lab, await connection.answer(), { status: 502, code: 'UT_AS_UNREACHABLE' })
      passed.push(performance.now() - since)
      connection.close()
    }
    // The quickest of ten: a machine with other work delays some, a wait of ours would delay all.
    assert.ok(Math.min(...passed) < DOWN_WITHIN_MS, `${passed}`)
    await proxy.become({ kind: 'pass' })
    assert.equal((await ue.request('GET', fresh())).status, 200)
  })

  const silent: Readonly<Record<string, Fault>> = {
    'takes requests and does not answer': { kind: 'half-open' },
    'neither hears nor answers': { kind: 'hang' },
    'answers too late': { kind: 'slow', ms: 10 * TIMEOUT_MS },
  }
  for (const [how, fault] of Object.entries(silent)) {
    test(`that ${how} is given up at the limit: 504, and a PUT was sent once`, async () => {
      for (const isKept of [true, false]) {
        if (isKept) assert.equal((await ue.request('GET', fresh())).status, 200)
        await proxy.become(fault)
        const target = fresh()
        assertRefusal(lab, await put(target), { status: 504, code: 'UT_AS_TIMEOUT' })
        const { durationMs = 0 } = lab.decisions.at(-1)?.record ?? {}
        assert.ok(durationMs >= TIMEOUT_MS - 50 && durationMs < 2 * TIMEOUT_MS + 1_000, `${durationMs} ms`)
        await delay(TIMEOUT_MS)
        assert.ok(arrivals(target) <= 1, `${arrivals(target)} arrived`)
        await proxy.become({ kind: 'pass' })
      }
      assert.equal((await ue.request('GET', fresh())).status, 200)
    })
  }

  describe('gets a PUT once, though it', () => {
    const ends: Readonly<Record<string, Script>> = {
      'resets when it has it': (socket) => void socket.resetAndDestroy(),
      'hangs up when it has it': (socket) => void socket.end(),
      'answers half a line': (socket) => void socket.end('HTTP/1.1 20'),
      'answers what is no HTTP': (socket) => void socket.end('SSH-2.0-OpenSSH\r\n\r\n'),
      'says that it is busy, and when to come again': (socket) =>
        void socket.write('HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n'),
    }
    for (const [how, end] of Object.entries(ends)) {
      test(how, async () => {
        for (const isKept of [true, false]) {
          script = answers(Buffer.from('kept'))
          if (isKept) assert.equal((await ue.request('GET', fresh())).status, 200)
          script = end
          const target = fresh()
          const { status } = await put(target)
          assert.ok([502, 503].includes(status), `${status}`)
          await delay(100)
          assert.equal(arrivals(target), 1)
        }
      })
    }

    test('resets within the body of the request, which nobody sends again', async () => {
      await proxy.become({ kind: 'reset', afterOctets: 0 })
      const target = fresh()
      const answer = await ue.request('PUT', target, { body: randomBytes(500_000) })
      assertRefusal(lab, answer, { status: 502, code: 'UT_AS_UNREACHABLE' })
      await delay(100)
      assert.equal(arrivals(target), 0)
    })

    test('closes idle connections at any moment: each PUT arrives once at most, and is shown as done only then', async () => {
      script = (socket, request) => {
        answers(Buffer.from('done'))(socket, request)
        setTimeout(() => socket.destroy(), Math.random() * 4)
      }
      const statuses: Record<number, number> = {}
      for (let i = 0; i < 80; i++) {
        const target = fresh()
        const { status } = await put(target)
        statuses[status] = (statuses[status] ?? 0) + 1
        assert.ok(arrivals(target) <= 1, `${arrivals(target)} arrived`)
        if (status === 200) assert.equal(arrivals(target), 1)
        else assert.equal(status, 502)
        await delay(Math.random() * 4)
      }
      assert.ok((statuses[200] ?? 0) > 0, JSON.stringify(statuses))
    })
  })

  describe('whose answer breaks off', () => {
    const framings: Readonly<Record<string, Script>> = {
      'with a length': answers(WHOLE),
      'in one chunk': (socket) => void socket.write(chunked(WHOLE)),
    }
    const breaks: Readonly<Record<string, Fault>> = {
      'by a reset': { kind: 'reset', afterOctets: SIZE / 2 },
      'by an end': { kind: 'cut', afterOctets: SIZE / 2 },
      'by a reset just before its last octet': { kind: 'reset', afterOctets: SIZE },
      'by an end just before its last octet': { kind: 'cut', afterOctets: SIZE },
    }
    for (const [framing, whole] of Object.entries(framings)) {
      for (const [how, fault] of Object.entries(breaks)) {
        test(`${how}, ${framing}, is never shown as a whole one`, async () => {
          script = whole
          await proxy.become(fault)
          await assert.rejects(ue.request('GET', fresh()), /ended within an answer/)
          const covered = await ue.request('GET', fresh(), { qop: 'auth-int' })
          assertRefusal(lab, covered, { status: 502, code: 'UT_AS_UNREACHABLE' })
        })
      }
    }

    // undici takes the reset of a connection that is not kept for its end.
    test('by a reset, of which only the end would tell the length, is not a whole one either', async () => {
      script = (socket) => {
        socket.write(Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\n\r\n'), WHOLE]))
        setTimeout(() => socket.resetAndDestroy(), 50)
      }
      await assert.rejects(ue.request('GET', fresh()), /ended within an answer/)
      assertRefusal(lab, await ue.request('GET', fresh(), { qop: 'auth-int' }), {
        status: 502,
        code: 'UT_AS_UNREACHABLE',
      })
    })
  })

  test('that is throttled is waited for: its answer comes whole', async () => {
    script = answers(WHOLE)
    await proxy.become({ kind: 'throttle', octetsPerS: SIZE })
    for (const qop of ['auth', 'auth-int'] as const) {
      const { status, body } = await ue.request('GET', fresh(), { qop })
      assert.equal(status, 200)
      assert.equal(sha256(body), sha256(WHOLE))
    }
  })

  describe('that never ends', () => {
    test('its header is not waited for: 502', async () => {
      const piece = `X-More: ${'x'.repeat(1_000)}\r\n`
      await proxy.become({ kind: 'endless', head: 'HTTP/1.1 200 OK\r\n', piece, everyMs: 2 })
      assertRefusal(lab, await ue.request('GET', fresh()), { status: 502, code: 'UT_AS_ANSWER_INVALID' })
    })
    for (const qop of ['auth', 'auth-int'] as const) {
      // What is covered is collected to its end, whoever still waits for it.
      test(`its body is nobody's whole answer, and is let go of with the UE, under ${qop}`, async () => {
        let isLeftAlone = false
        script = (socket) => {
          socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
          const timer = setInterval(() => socket.write('5\r\nhello\r\n'), 2)
          socket.once('close', () => {
            clearInterval(timer)
            isLeftAlone = true
          })
        }
        const connection = await rawConnect(ue.at)
        connection.write(await ue.signed('GET', fresh(), { qop }))
        if (qop === 'auth') await eventually('some of it is there', () => connection.pending().includes('hello'))
        else {
          await delay(200)
          assert.equal(connection.pending().length, 0)
        }
        assert.ok(!connection.pending().includes('\r\n0\r\n'))
        connection.close()
        await eventually('the application server is left alone', () => isLeftAlone, 2_000)
      })
    }
  })
})

const sha256 = (octets: Uint8Array): string => createHash('sha256').update(octets).digest('hex')
