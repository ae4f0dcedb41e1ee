import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { knownAddresses } from '../src/ap-addresses.ts'
import type { AppServer } from '../src/passage.ts'
import { passes } from './support/passes.ts'
import { scriptedAs } from './support/scripted-as.ts'

const appServer = (more: Partial<AppServer> = {}) =>
  ({ name: 'as', url: 'http://127.0.0.1:1', connectTimeoutMs: 1000, ...more }) as AppServer
const quiet = () => {}
const WRITE = { key: 'k', isSafe: false }

describe('what is known of the addresses', () => {
  test('is one for all who send to the same server, and another for one of its name', () => {
    const known = knownAddresses(quiet)
    const server = appServer()
    assert.equal(known.of(server), known.of(server))
    assert.notEqual(known.of(server), known.of(appServer()))
  })

  test('is told while somebody holds the server, and of a name that came anew, of the later one alone', () => {
    const known = knownAddresses(quiet)
    const [before, after] = [appServer(), appServer({ moreUrls: ['http://127.0.0.1:2'] })]
    const counts = () => known.states().map(({ inFlight }) => inFlight)
    const ends = [known.hold(before), known.hold(before)]
    known.of(before).choose(WRITE, 0)
    assert.deepEqual(counts(), [1])
    const end = known.hold(after)
    assert.deepEqual(counts(), [0, 0])
    for (let i = 0; i < 2; i++) end()
    assert.deepEqual(counts(), [1])
    ends[0]?.()
    ends[0]?.()
    assert.deepEqual(counts(), [1])
    ends[1]?.()
    assert.deepEqual(counts(), [])
  })

  test('comes of one check of its health for all who hold it, which ends with the last of them', async () => {
    const as = await scriptedAs((socket) => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'))
    const known = knownAddresses(quiet)
    const health = { path: '/up', intervalMs: 3_600_000, timeoutMs: 2000, expectStatus: 200, failures: 1 }
    const server = appServer({ url: as.url, health })
    const ends = [known.hold(server), known.hold(server)]
    await passes(() => assert.equal(as.arrived.length, 1))
    ends[0]?.()
    assert.equal(as.open(), 1)
    ends[1]?.()
    await passes(() => assert.equal(as.open(), 0))
    const again = known.hold(server)
    await passes(() => assert.equal(as.arrived.length, 2))
    known.close()
    await passes(() => assert.equal(as.open(), 0))
    again()
    await as.close()
  })
})
