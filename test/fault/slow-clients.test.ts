import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { configOf } from '../../src/config/load.ts'
import { impuOf, LAB_BSF, LAB_NAF } from '../../src/lab.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { type RawTarget, rawConnect, rawExchange } from '../support/raw-client.ts'

// The promise: who dawdles is cut off at a limit, however many there are, and nobody else notices. How much slower the
// others are meanwhile is measured by test/bench/slow-clients.ts.

const OWN = `/resource-lists/users/${impuOf('alice')}/index`
/** A tenth of the defaults and less, so that a test is short. */
const LIMITS = { headersTimeoutMs: 1_000, requestTimeoutMs: 2_500 }
/** No promise: by then somebody has forgotten them. */
const FORGOTTEN_MS = 12_000
const SLOW_HEADERS = 200
const SLOW_BODIES = 50

interface Cut {
  readonly afterMs: number
  readonly status: string
}

/** Sends what it has piece by piece until it is cut off. */
async function dawdle(at: RawTarget, begin: string | Uint8Array, piece: string): Promise<Cut> {
  const connection = await rawConnect(at)
  const since = performance.now()
  connection.write(begin)
  const timer = setInterval(() => connection.write(piece), 50)
  const forgotten = setTimeout(() => connection.close(), FORGOTTEN_MS)
  await connection.closed
  clearInterval(timer)
  clearTimeout(forgotten)
  return { afterMs: performance.now() - since, status: connection.pending().toString('latin1', 9, 12) }
}

const all = (count: number, one: () => Promise<Cut>) => Promise.all(Array.from({ length: count }, one))

function assertCut(cuts: readonly Cut[]): void {
  const tooLate = cuts.filter(({ afterMs }) => afterMs > FORGOTTEN_MS - 1_000)
  assert.deepEqual(tooLate, [])
  // Who was cut in the midst of his handshake, or of his words, may not have heard why.
  for (const { status } of cuts) assert.match(status, /^(?:408)?$/)
  assert.ok(cuts.filter(({ status }) => status === '408').length > cuts.length / 2)
}

describe('slow clients', () => {
  let lab: TestLab
  let good: HandUe
  before(async () => {
    lab = await testLab({
      recording: true,
      ap: { limits: LIMITS },
      bsf: { ub: { ...LIMITS } },
    })
    good = await handUe(lab)
  })
  after(async () => {
    await lab.close()
    assert.ok(!lab.decisions.some(({ record }) => record.code === 'INTERNAL'))
  })

  /** Whoever is quick is served all the while. @returns how many times */
  async function servedWhile(slow: Promise<unknown>): Promise<number> {
    let isOver = false
    const over = slow.finally(() => {
      isOver = true
    })
    let served = 0
    for (; !isOver; served++) {
      assert.equal(
        (await good.request(served % 2 ? 'PUT' : 'GET', OWN, served % 2 ? { body: '<a/>' } : {})).status,
        200,
      )
    }
    await over
    return served
  }

  test(`${SLOW_HEADERS} whose header never ends and ${SLOW_BODIES} whose body never ends are cut off, and nobody else is`, async () => {
    const header = `GET ${OWN} HTTP/1.1\r\nHost: ${LAB_NAF}\r\n`
    const body = async () => {
      const octets = (await good.signed('PUT', OWN, { body: 'x' })).toString('latin1')
      return octets.replace('Content-Length: 1', 'Content-Length: 100000')
    }
    const slow = Promise.all([
      all(SLOW_HEADERS, () => dawdle(good.at, header, 'X-More: 1\r\n')),
      all(SLOW_BODIES, async () => dawdle(good.at, await body(), 'x')),
    ])
    const served = await servedWhile(slow)
    const [headers, bodies] = await slow
    assertCut(headers)
    assertCut(bodies)
    assert.ok(served > 10, `${served} served`)
    assert.ok(!lab.seen.some(({ body }) => body.length > 4), 'no part of a body is forwarded')
  })

  test('those who bring no credentials are cut off as well', async () => {
    const head = `PUT ${OWN} HTTP/1.1\r\nHost: ${LAB_NAF}\r\nContent-Length: 100000\r\n\r\n`
    const cuts = await all(20, () => dawdle(good.at, head, 'x'))
    for (const { afterMs, status } of cuts) {
      assert.equal(status, '401')
      assert.ok(afterMs < FORGOTTEN_MS - 1_000)
    }
  })

  test('on Ub, they are cut off and UEs bootstrap', async () => {
    const ub = { port: lab.app.addresses.ub?.port ?? 0 }
    const slow = all(SLOW_HEADERS, () => dawdle(ub, `GET / HTTP/1.1\r\nHost: ${LAB_BSF}\r\n`, 'X-More: 1\r\n'))
    const ue = await handUe(lab, { name: 'bob' })
    assert.notEqual(ue.btid, '')
    assertCut(await slow)
    const { status } = await rawExchange(ub, `GET / HTTP/1.1\r\nHost: ${LAB_BSF}\r\n\r\n`)
    assert.ok(status < 500)
  })
})

test('by default a header may take 15 s, a body 30 s, and no longer', () => {
  // Node looks once a second.
  const looksMs = 1_000
  const { ap, bsf } = configOf(
    {
      hss: {},
      bsf: { names: [LAB_BSF] },
      ap: {
        tls: { certificateFile: 'x.pem', keyFile: 'x.key' },
        nafs: [{ fqdn: LAB_NAF }],
        appServers: [{ name: 'lab', url: 'http://127.0.0.1:1' }],
        routes: [{ appServer: 'lab' }],
      },
    },
    'a test',
  )
  for (const limits of [ap?.limits, bsf?.ub]) {
    assert.ok(limits && limits.headersTimeoutMs + looksMs <= 15_000)
    assert.ok(limits.requestTimeoutMs <= 30_000)
  }
})
