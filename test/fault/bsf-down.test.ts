import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { btidOf } from '../../src/core/identity.ts'
import type { FaultCode } from '../../src/errors.ts'
import { impuOf, LAB_BSF, type LabSubscriber } from '../../src/lab.ts'
import { type Apart, type ApSide, labApart } from '../support/apart.ts'
import { type Fault, type FaultProxy, faultProxy } from '../support/fault-proxy.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import type { RawAnswer } from '../support/raw-client.ts'
import { assertRefusal } from '../support/refusals.ts'

// The promise: who has a key at the AP does not notice that the BSF is gone, until the key ends; who has none is told to
// come again, soon; and once the BSF is back, nobody has to wait long.

const own = (name: LabSubscriber) => `/resource-lists/users/${impuOf(name)}/index`
const KEY_LIFETIME_S = 600
/** The one limit of the AP that counts here, far below the default so that a test is short. */
const TIMEOUT_MS = 400
/** Whoever has no key hears so within. */
const REFUSED_WITHIN_MS = 2_000
/** Whoever has none is served again within, once the BSF is back. */
const RECOVERED_WITHIN_MS = 5_000

/** An AP and a BSF with what can go wrong between them. */
interface Zn {
  readonly apart: Apart
  readonly ap: ApSide
  readonly proxy: FaultProxy
  /** Has used its key at the AP. */
  readonly known: HandUe
  skipMs(ms: number): void
  close(): Promise<void>
}

async function znThroughProxy(zn: object = {}): Promise<Zn> {
  let offsetMs = 0
  const apart = await labApart({ now: () => Date.now() + offsetMs, bsf: { keyLifetimeS: KEY_LIFETIME_S } })
  const proxy = await faultProxy(apart.bsf.app.addresses.zn?.port ?? 0)
  const ap = await apart.startAp({
    zn: { url: `https://localhost:${proxy.port}`, timeoutMs: TIMEOUT_MS, unknownBtidCacheS: 0, ...zn },
  })
  const known = await handUe(ap)
  assert.equal((await known.request('GET', own('alice'))).status, 200)
  return {
    apart,
    ap,
    proxy,
    known,
    skipMs(ms) {
      offsetMs += ms
    },
    async close() {
      await apart.close()
      await proxy.close()
    },
  }
}

const refusedForNow = ({ ap }: Zn, answer: RawAnswer) =>
  assertRefusal(ap, answer, { status: 503, code: 'ZN_BSF_UNREACHABLE' })

/** Another request again and again. @returns after how long it was let through */
async function servedAgain(ue: HandUe): Promise<number> {
  const since = performance.now()
  for (;;) {
    const { status } = await ue.request('GET', own('bob'))
    const passedMs = performance.now() - since
    if (status === 200) return passedMs
    assert.equal(status, 503)
    assert.ok(passedMs < RECOVERED_WITHIN_MS, 'it is back, and nobody notices')
    await delay(100)
  }
}

const FAULTS: Readonly<Record<string, Fault>> = {
  'is down': { kind: 'closed' },
  'takes connections and says nothing': { kind: 'hang' },
  'hears and does not answer': { kind: 'half-open' },
  'is slow': { kind: 'slow', ms: 10 * TIMEOUT_MS },
  'answers octet by octet': { kind: 'throttle', octetsPerS: 200 },
  resets: { kind: 'reset', afterOctets: 0 },
  'resets within its answer': { kind: 'reset', afterOctets: 300 },
  'hangs up within its answer': { kind: 'cut', afterOctets: 300 },
  'says what is no TLS': { kind: 'garbage', octets: Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}') },
  'says noise': { kind: 'garbage', octets: randomBytes(4096) },
  'never ends': { kind: 'endless', head: '\x16\x03\x03\x40\x00', piece: 'x'.repeat(100), everyMs: 10 },
}

describe('while the BSF', () => {
  let zn: Zn
  before(async () => {
    zn = await znThroughProxy()
  })
  after(async () => {
    await zn.close()
    assert.ok(!zn.ap.decisions.some(({ record }) => record.code === 'INTERNAL'))
  })

  for (const [how, fault] of Object.entries(FAULTS)) {
    test(`${how}, known keys serve and others wait, and no longer than it lasts`, async () => {
      const stranger = await handUe(zn.ap, { name: 'bob' })
      await stranger.freshNonce()
      await zn.proxy.become(fault)
      const since = performance.now()
      refusedForNow(zn, await stranger.request('PUT', own('bob'), { body: '<a/>' }))
      const passedMs = performance.now() - since
      assert.ok(passedMs < REFUSED_WITHIN_MS, `${passedMs} ms`)
      const forwarded = zn.apart.as.arrived.length
      for (let i = 0; i < 10; i++) assert.equal((await zn.known.request('GET', own('alice'))).status, 200)
      const waiting = stranger.request('GET', own('bob'))
      for (let i = 0; i < 10; i++) assert.equal((await zn.known.request('GET', own('alice'))).status, 200)
      refusedForNow(zn, await waiting)
      assert.equal(zn.apart.as.arrived.length, forwarded + 20, 'what is refused reaches no application server')
      await zn.proxy.become({ kind: 'pass' })
      await servedAgain(stranger)
    })
  }

  test('is silent, many who have no key at once wait no longer than one', async () => {
    await zn.proxy.become({ kind: 'hang' })
    const since = performance.now()
    const nonce = await zn.known.freshNonce()
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        zn.known.request('GET', own('alice'), { nonce, nc: i + 1, username: btidOf(randomBytes(16), LAB_BSF) }),
      ),
    )
    for (const answer of answers) refusedForNow(zn, answer)
    const passedMs = performance.now() - since
    assert.ok(passedMs < REFUSED_WITHIN_MS + 1_000, `${passedMs} ms`)
    await zn.proxy.become({ kind: 'pass' })
    await servedAgain(await handUe(zn.ap, { name: 'bob' }))
  })
})

describe('a key of which the AP knows', () => {
  test('is used to its end while the BSF is down, and not beyond', async () => {
    const zn = await znThroughProxy()
    try {
      await zn.proxy.become({ kind: 'closed' })
      zn.skipMs((KEY_LIFETIME_S - 30) * 1000)
      assert.equal((await zn.known.request('GET', own('alice'))).status, 200)
      zn.skipMs(31_000)
      for (let i = 0; i < 5; i++) {
        refusedForNow(zn, await zn.known.request('GET', own('alice')))
        zn.skipMs(60_000)
      }
      assert.equal(zn.apart.as.arrived.length, 2)
      await zn.proxy.become({ kind: 'pass' })
      assertRefusal(zn.ap, await zn.known.request('GET', own('alice')), { status: 401, code: 'ZN_BTID_UNKNOWN' })
    } finally {
      await zn.close()
    }
  })

  test('is used no longer than its settings are believed, whether the BSF can be asked or not', async () => {
    const zn = await znThroughProxy({ ussMaxAgeS: 60 })
    try {
      await zn.proxy.become({ kind: 'closed' })
      zn.skipMs(50_000)
      assert.equal((await zn.known.request('GET', own('alice'))).status, 200)
      zn.skipMs(11_000)
      refusedForNow(zn, await zn.known.request('GET', own('alice')))
      await zn.proxy.become({ kind: 'pass' })
      assert.equal((await zn.known.request('GET', own('alice'))).status, 200)
    } finally {
      await zn.close()
    }
  })

  test('waits no longer than the default has it for a BSF that is silent', async () => {
    const zn = await znThroughProxy({ timeoutMs: 1500 })
    try {
      const stranger = await handUe(zn.ap, { name: 'bob' })
      await zn.proxy.become({ kind: 'hang' })
      refusedForNow(zn, await stranger.request('GET', own('bob')))
      const { durationMs } = zn.ap.decisions.at(-1)?.record ?? {}
      assert.ok(durationMs !== undefined && durationMs >= 1400 && durationMs < 2_500, `${durationMs} ms`)
    } finally {
      await zn.close()
    }
  })
})

describe('a BSF that proves who it is and talks nonsense', () => {
  let zn: Zn
  let bsf: Server
  let answer: (request: IncomingMessage, response: ServerResponse) => void
  before(async () => {
    zn = await znThroughProxy()
    const certs = join(zn.apart.directory, 'certs')
    const [cert, key, ca] = await Promise.all(
      ['bsf.pem', 'bsf.key', 'ca.pem'].map((name) => readFile(join(certs, name), 'utf8')),
    )
    bsf = createServer({ cert, key, ca, requestCert: true } as object, (request, response) => {
      request.resume().on('end', () => answer(request, response))
    })
    await new Promise<void>((listening) => bsf.listen(0, '127.0.0.1', listening))
    // What was kept open leads to the other one.
    await zn.proxy.become({ kind: 'closed' })
    zn.proxy.aim((bsf.address() as AddressInfo).port)
    await zn.proxy.become({ kind: 'pass' })
  })
  after(async () => {
    await zn.close()
    bsf.closeAllConnections()
    await new Promise((closed) => bsf.close(closed))
    assert.ok(!zn.ap.decisions.some(({ record }) => record.code === 'INTERNAL'))
  })

  const says = (status: number, body: string) => (_request: IncomingMessage, response: ServerResponse) =>
    void response.writeHead(status, { 'content-type': 'application/json' }).end(body)
  const nonsense: Readonly<Record<string, readonly [typeof answer, FaultCode]>> = {
    'an empty object': [says(200, '{}'), 'ZN_ANSWER_MALFORMED'],
    'a page': [says(200, '<html>'), 'ZN_ANSWER_MALFORMED'],
    'a key that is none': [says(200, '{"meKeyMaterial":"00"}'), 'ZN_ANSWER_MALFORMED'],
    'a failure of its own': [says(500, '{}'), 'ZN_BSF_UNREACHABLE'],
    'that it is busy': [says(503, '{}'), 'ZN_BSF_UNREACHABLE'],
    'an answer without an end': [
      (_request, response) => {
        response.writeHead(200)
        const timer = setInterval(() => response.write(' '.repeat(8_192)), 5)
        response.once('close', () => clearInterval(timer))
      },
      'ZN_BSF_UNREACHABLE',
    ],
    'the beginning of an answer': [
      (_request, response) => void response.writeHead(200, { 'content-length': 500 }).write('{"meKeyMaterial":"'),
      'ZN_BSF_UNREACHABLE',
    ],
  }
  for (const [what, [script, code]] of Object.entries(nonsense)) {
    test(`says ${what}: known keys serve, others get 502 or 503`, async () => {
      answer = script
      const stranger = await handUe(zn.ap, { name: 'bob' })
      const status = code === 'ZN_ANSWER_MALFORMED' ? 502 : 503
      assertRefusal(zn.ap, await stranger.request('GET', own('bob')), { status, code })
      assert.equal((await zn.known.request('GET', own('alice'))).status, 200)
    })
  }
})
