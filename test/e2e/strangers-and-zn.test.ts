import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { connect as connectTcp } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { connect, type TLSSocket } from 'node:tls'
import { btidOf } from '../../src/core/identity.ts'
import { formatPskIdentity } from '../../src/core/psk-identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { impuOf, LAB_BSF, LAB_NAF } from '../../src/lab.ts'
import { type Apart, type ApSide, labApart } from '../support/apart.ts'
import { pskOptions } from '../support/door-ue.ts'
import { handUe } from '../support/hand-ue.ts'
import { lateRelay } from '../support/late-relay.ts'
import { type RawAnswer, rawExchange } from '../support/raw-client.ts'

const TARGET = `/resource-lists/users/${impuOf('alice')}/index`
const OWN = `https://${LAB_NAF}${TARGET}`
const STRANGER = '127.0.0.2'
const MOST = 4

describe('a stranger whose handshakes name bootstraps that there are not', () => {
  let apart: Apart
  let ap: ApSide
  let relay: Awaited<ReturnType<typeof lateRelay>>
  before(async () => {
    apart = await labApart()
    relay = await lateRelay(apart.bsf.app.addresses.zn?.port ?? 0, 100)
    ap = await apart.startAp({
      zn: { url: `https://localhost:${relay.port}`, unknownBtidCacheS: 0, maxPerSource: MOST },
      routes: [{ appServer: 'scripted', doors: ['psk', 'digest'] }],
      limits: { failures: { trustedSources: [] } },
    })
  })
  after(async () => {
    await apart.close()
    relay.close()
  })

  test('has the BSF asked a few questions at a time, and leaves it to others', async () => {
    const sockets = new Set<TLSSocket>()
    let isOver = false
    const knock = () => {
      if (isOver) return
      const options = pskOptions(formatPskIdentity(btidOf(randomBytes(16), LAB_BSF)), new Secret(randomBytes(32)), true)
      const socket = connect({
        socket: connectTcp({ host: '127.0.0.1', port: ap.app.addresses.ap?.port ?? 0, localAddress: STRANGER }),
        servername: LAB_NAF,
        ca: ap.ca,
        ...options,
      })
      sockets.add(socket)
      socket.on('error', () => {}).once('secureConnect', () => socket.destroy())
      socket.once('close', () => {
        sockets.delete(socket)
        setTimeout(knock, 5)
      })
    }
    for (let i = 0; i < 60; i++) knock()
    try {
      const asked = () => ap.decisions.filter(({ event }) => event === 'zn.fetched').length
      while (asked() < 3 * MOST) await new Promise((later) => setTimeout(later, 20))
      for (let i = 0; i < 4; i++) {
        const ue = await ap.ue('alice')
        assert.equal((await ue.request('GET', OWN)).status, 200)
      }
      // Nor does it help the stranger to come with a Digest.
      const digest = await handUe(ap)
      const from = { ...digest.at, from: STRANGER }
      let answer: RawAnswer | undefined
      for (let tries = 0; answer?.status !== 429 && tries < 50; tries++) {
        const username = btidOf(randomBytes(16), LAB_BSF)
        answer = await rawExchange(from, await digest.signed('GET', TARGET, { username }))
      }
      assert.ok(answer?.header('retry-after'))
      const { record } = ap.decisions.findLast(({ event }) => event === 'ut.refused') ?? assert.fail()
      assert.deepEqual([record.code, record.source], ['ZN_TOO_MANY_QUESTIONS', STRANGER])
      const reasons = ap.decisions.filter(({ event }) => event === 'tls.refused').map(({ record }) => record)
      const held = reasons.filter(({ code }) => code === 'ZN_TOO_MANY_QUESTIONS')
      assert.ok(held.length > 0 && held.every(({ reason }) => reason === 'lookup-failed'))
      // However many they are, they fill no log.
      assert.doesNotMatch(ap.logged(), /tls\.key-lookup-failed/)
      assert.ok(reasons.every(({ source }) => source === STRANGER))
    } finally {
      isOver = true
      for (const socket of sockets) socket.destroy()
    }
  })
})
