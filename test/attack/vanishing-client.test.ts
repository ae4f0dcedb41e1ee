import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { impuOf } from '../../src/lab.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { rawConnect } from '../support/raw-client.ts'
import { type ScriptedAs, scriptedAs } from '../support/scripted-as.ts'

// A subscriber who hangs up before the answer would like to have touched somebody's documents without a trace.
const HERS = `/resource-lists/users/${impuOf('alice')}/index`
const LOG = `/internal.gba-proxy.access-log/users/${impuOf('alice')}/index`

describe('a request whose client is gone before the application server answers', () => {
  let as: ScriptedAs
  let lab: TestLab
  let alice: HandUe
  let bob: HandUe
  before(async () => {
    as = await scriptedAs((socket) => {
      setTimeout(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'), 100)
    })
    lab = await testLab({
      as: null,
      ap: {
        appServers: [{ name: 'slow', url: as.url }],
        routes: [{ appServer: 'slow', ownership: 'as-decides' }],
      },
    })
    alice = await handUe(lab)
    bob = await handUe(lab, { name: 'bob' })
    assert.equal((await alice.request('GET', HERS)).status, 200)
  })
  after(async () => {
    await lab.close()
    await as.close()
  })

  for (const method of ['GET', 'DELETE', 'PUT']) {
    test(`${method} is in the audit and in the owner's log, once`, async () => {
      const octets = await bob.signed(method, HERS, method === 'PUT' ? { body: '<a/>' } : {})
      const from = { arrived: as.arrived.length, decisions: lab.decisions.length }
      const connection = await rawConnect(bob.at)
      connection.write(octets)
      while (as.arrived.length === from.arrived) await delay(5)
      connection.close()
      await delay(300)
      const forwarded = lab.decisions.slice(from.decisions).filter(({ event }) => event === 'ut.forwarded')
      assert.deepEqual(
        forwarded.map(({ record }) => [record.method, record.status, record.impus]),
        [[method, 200, [impuOf('bob')]]],
      )
      const log = (await alice.request('GET', LOG)).body.toString()
      assert.equal(log.split(`actor="${impuOf('bob')}" method="${method}"`).length, 2, log)
    })
  }
})
