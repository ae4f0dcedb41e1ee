import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { connect } from 'node:tls'
import { btidOf } from '../../src/core/identity.ts'
import { formatPskIdentity } from '../../src/core/psk-identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { impuOf, LAB_BSF, LAB_NAF } from '../../src/lab.ts'
import { PSK_SUITES_OFFERED } from '../../src/tls/psk-listener.ts'
import { type Apart, type ApSide, labApart } from '../support/apart.ts'
import { pskOptions } from '../support/door-ue.ts'
import { lateRelay } from '../support/late-relay.ts'

const OWN = `https://${LAB_NAF}/resource-lists/users/${impuOf('alice')}/index`
const LATE_MS = 150

describe('shared-key TLS while the BSF answers late', () => {
  let apart: Apart
  let ap: ApSide
  let relay: Awaited<ReturnType<typeof lateRelay>>
  before(async () => {
    apart = await labApart()
    relay = await lateRelay(apart.bsf.app.addresses.zn?.port ?? 0, LATE_MS)
    ap = await apart.startAp({
      zn: { url: `https://localhost:${relay.port}`, unknownBtidCacheS: 0 },
      routes: [{ appServer: 'scripted', doors: ['psk', 'digest'] }],
    })
  })
  after(async () => {
    await apart.close()
    relay.close()
  })

  const WAYS = [
    ...[...PSK_SUITES_OFFERED.keys()].map((ciphers) => ({ tls: '1.2', ciphers }) as const),
    ...['TLS_AES_128_GCM_SHA256', 'TLS_CHACHA20_POLY1305_SHA256'].map((ciphers) => ({ tls: '1.3', ciphers }) as const),
  ]
  for (const { tls, ciphers } of WAYS) {
    test(`our UE does GET and PUT under ${ciphers}`, async () => {
      const ue = await ap.ue('alice', { psk: true, tls, ciphers })
      for (const [method, body] of [['GET'], ['PUT', '<a/>']] as const) {
        const answer = await ue.request(method, OWN, body === undefined ? {} : { body })
        assert.equal(answer.status, 200)
        assert.equal(answer.connection.tls?.cipher, ciphers)
        assert.equal(answer.connection.tls?.psk, true)
      }
      assert.equal(ap.decisions.findLast(({ event }) => event === 'ut.forwarded')?.record.door, 'psk')
    })
  }

  test('50 handshakes that wait for it hold up no other', async () => {
    const at = { host: '127.0.0.1', port: ap.app.addresses.ap?.port ?? 0, servername: LAB_NAF, ca: ap.ca }
    let answered = 0
    const fetched = () => ap.decisions.filter(({ event }) => event === 'zn.fetched').length
    const before = fetched()
    const waiting = Array.from({ length: 50 }, (_, i) => {
      const rand = new Uint8Array(16).fill(100 + i)
      const options = pskOptions(formatPskIdentity(btidOf(rand, LAB_BSF)), new Secret(new Uint8Array(32)), false)
      return new Promise<void>((done) => {
        const socket = connect({ ...at, ...options })
        socket.once('error', () => {
          answered++
          done()
        })
      })
    })
    const digest = await ap.ue('alice')
    // Its key is fetched late as well, so its first request is not what is looked at.
    assert.equal((await digest.request('GET', OWN)).status, 200)
    const more = waiting.map(() => digest.request('GET', OWN))
    assert.ok((await Promise.all(more)).every(({ status }) => status === 200))
    await Promise.all(waiting)
    assert.equal(answered, 50)
    assert.ok(fetched() - before >= 50, 'each of them was looked up')
    const refused = ap.decisions.filter(({ record }) => record.reason === 'identity-unknown')
    assert.equal(refused.length, 50)
  })
})
