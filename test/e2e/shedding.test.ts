import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { impuOf } from '../../src/lab.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { passes } from '../support/passes.ts'
import { rawConnect } from '../support/raw-client.ts'
import { problemIdOf } from '../support/refusals.ts'
import { type ScriptedAs, scriptedAs } from '../support/scripted-as.ts'

// More than the process takes on is refused at once, before any work for it; what was taken on is served.
const OWN = `/resource-lists/users/${impuOf('alice')}/index`
const IN_FLIGHT = 3

for (const httpFront of ['strict', 'fastify'] as const) {
  describe(`more requests than may be in flight, with httpFront ${httpFront}`, () => {
    let lab: TestLab
    let as: ScriptedAs
    let ue: HandUe
    const held: Socket[] = []
    let isHolding = false
    const answer = (socket: Socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    before(async () => {
      as = await scriptedAs((socket) => void (isHolding ? held.push(socket) : answer(socket)))
      lab = await testLab({
        as: null,
        ap: {
          httpFront,
          limits: { inFlight: IN_FLIGHT, maxLoopDelayMs: 0 },
          appServers: [{ name: 'lab', url: as.url }],
        },
      })
      ue = await handUe(lab)
    })
    after(async () => {
      await lab.close()
      await as.close()
    })

    async function fill() {
      isHolding = true
      const nonce = await ue.freshNonce()
      const signed = []
      for (let nc = 1; nc <= IN_FLIGHT; nc++) signed.push(await ue.signed('GET', OWN, { nonce, nc }))
      const under = signed.map((octets) => ue.send(octets))
      await passes(async () => assert.equal(held.length, IN_FLIGHT))
      return under
    }
    function release() {
      isHolding = false
      for (const socket of held.splice(0)) answer(socket)
    }

    test('are answered 503, on a connection that goes on, and one of them is recorded', async () => {
      const octets = await ue.signed('GET', OWN)
      const under = await fill()
      const refusals = () => lab.decisions.filter(({ record }) => record.code === 'AP_OVERLOADED')
      const arrived = as.arrived.length
      const connection = await rawConnect(ue.at)
      for (let i = 0; i < 4; i++) {
        connection.write(octets)
        const refused = await connection.answer()
        assert.deepEqual(refused.values('x-request-id'), [problemIdOf(refused)])
        assert.deepEqual([refused.status, refused.header('retry-after')], [503, '1'])
      }
      assert.ok(refusals().length >= 1 && refusals().length < 4)
      assert.deepEqual(refusals()[0]?.record.step, 'arrive')
      assert.equal(as.arrived.length, arrived)
      release()
      for (const { status } of await Promise.all(under)) assert.equal(status, 200)
      // Nothing of it was looked at: its nonce count is as good as before.
      connection.write(octets)
      assert.equal((await connection.answer()).status, 200)
      connection.close()
    })

    test('are none any more when their clients have gone and the server has answered', async () => {
      isHolding = true
      const gone = []
      for (let i = 0; i < IN_FLIGHT; i++) {
        const connection = await rawConnect(ue.at)
        connection.write(await ue.signed('GET', OWN))
        await passes(async () => assert.equal(held.length, i + 1))
        gone.push(connection)
      }
      for (const connection of gone) connection.close()
      release()
      await passes(async () => assert.equal((await ue.request('GET', OWN)).status, 200))
    })

    test('are not those whose body is still to come', async () => {
      const slow = []
      const nonce = await ue.freshNonce()
      for (let nc = 1; nc <= IN_FLIGHT; nc++) {
        const octets = await ue.signed('PUT', OWN, { body: '<slow/>', nonce, nc })
        const connection = await rawConnect(ue.at)
        connection.write(octets.subarray(0, -3))
        slow.push({ connection, rest: octets.subarray(-3) })
      }
      await passes(async () => assert.equal((await ue.request('GET', OWN)).status, 200))
      for (const { connection, rest } of slow) {
        connection.write(rest)
        assert.equal((await connection.answer()).status, 200)
        connection.close()
      }
    })
  })
}
