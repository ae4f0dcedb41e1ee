import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { writeRevocations } from '../../src/tls/pki-files.ts'
import { ALICE, treeOf } from '../support/attacked.ts'
import { doorUe, openAllDoors, WAYS, type Way } from '../support/door-ue.ts'
import type { HandUe } from '../support/hand-ue.ts'
import { type TestLab, type TestLabOptions, testLab } from '../support/lab.ts'
import { type RawConnection, rawConnect } from '../support/raw-client.ts'
import { assertRefusal } from '../support/refusals.ts'
import { type ScriptedAs, scriptedAs } from '../support/scripted-as.ts'

const OWN = treeOf(ALICE)
const REFUSED = { status: 403, code: 'UA_CERTIFICATE_REFUSED' } as const
const HOUR_MS = 3_600_000
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n'

/** A lab whose AP looks at the list of revoked certificates in its folder. */
function revokingLab({ listHours = 24, ...options }: TestLabOptions & { readonly listHours?: number } = {}) {
  return testLab({
    recording: true,
    ...options,
    async prepare(directory) {
      const certs = join(directory, 'certs')
      const doors = await openAllDoors(directory)
      await writeRevocations(certs, { now: Date.now() - 60_000, validDays: listHours / 24 })
      return {
        ...doors,
        subscriberCertificates: { caFile: join(certs, 'ca.pem'), crlFile: join(certs, 'ca.crl') },
      }
    },
  })
}

/** Writes the list anew, and has the AP read it. @param file the certificate that is revoked, where one is */
async function rewriteList(lab: TestLab, validHours = 24, file?: string): Promise<void> {
  const options = { now: Date.now() - 60_000, validDays: validHours / 24, ...(file !== undefined && { file }) }
  await writeRevocations(join(lab.directory, 'certs'), options)
  assert.equal(lab.app.reload(), true)
}

const within = async (what: string, happens: Promise<unknown>): Promise<void> => {
  const late = delay(10_000, 'late', { ref: false })
  assert.notEqual(await Promise.race([happens, late]), 'late', what)
}

/** A connection on which something was answered already. */
async function keptConnection(t: TestContext, ue: HandUe): Promise<RawConnection> {
  const connection = await rawConnect(ue.at)
  t.after(() => connection.close())
  connection.write(await ue.signed('GET', OWN))
  assert.equal((await connection.answer()).status, 200)
  return connection
}

describe('when the list of revoked certificates changes', () => {
  describe('while nothing is under way', () => {
    let lab: TestLab
    before(async () => {
      lab = await revokingLab()
    })
    after(() => lab.close())

    test('connections by certificate end, whomever the list names', async (t) => {
      const kept = await Promise.all(
        (['alice', 'bob'] as const).map(async (name) => rawConnect((await doorUe(lab, 'certificate', name)).at)),
      )
      kept.push(await keptConnection(t, await doorUe(lab, 'certificate')))
      await rewriteList(lab)
      for (const connection of kept) {
        await within('closed', connection.closed)
        assert.equal(connection.pending().length, 0)
        connection.close()
      }
      assert.equal((await (await doorUe(lab, 'certificate')).request('GET', OWN)).status, 200)
    })

    for (const way of WAYS.filter((each) => each !== 'certificate')) {
      test(`a connection by ${way} stays, and is served`, async (t) => {
        const alice = await doorUe(lab, way)
        const connection = await keptConnection(t, alice)
        const byCertificate = await keptConnection(t, await doorUe(lab, 'certificate'))
        await rewriteList(lab)
        await within('closed', byCertificate.closed)
        connection.write(await alice.signed('GET', OWN))
        assert.equal((await connection.answer()).status, 200)
      })
    }
  })

  describe('while a request is under way', () => {
    let lab: TestLab
    let as: ScriptedAs
    /** Requests that wait for their answer. */
    const waiting: Socket[] = []
    const arrived: (() => void)[] = []
    let isSlow = false
    before(async () => {
      as = await scriptedAs((socket) => {
        if (!isSlow) return void socket.write(`${OK}0123456789`)
        waiting.push(socket)
        for (const tell of arrived.splice(0)) tell()
      })
      lab = await revokingLab({ recording: false, as: null, ap: { appServers: [{ name: 'lab', url: as.url }] } })
    })
    after(async () => {
      await lab.close()
      await as.close()
    })
    const putUnderWay = async (connection: RawConnection, ue: HandUe): Promise<Socket> => {
      isSlow = true
      const there = new Promise<void>((tell) => arrived.push(tell))
      connection.write(await ue.signed('PUT', OWN, { body: '<a/>' }))
      await there
      isSlow = false
      return waiting.shift() ?? assert.fail('the application server has no request')
    }
    const forwarded = () => lab.decisions.filter(({ event }) => event === 'ut.forwarded')

    for (const [who, file] of [
      ['another', 'sub-bob.pem'],
      ['its holder', 'sub-alice.pem'],
    ] as const) {
      test(`it is answered and recorded, and its connection ends then: ${who} was revoked`, async (t) => {
        const alice = await doorUe(lab, 'certificate')
        const connection = await keptConnection(t, alice)
        const before = forwarded().length
        const toAs = await putUnderWay(connection, alice)
        await rewriteList(lab, 24, file)
        toAs.write(`${OK}0123456789`)
        const answer = await connection.answer('PUT')
        assert.deepEqual([answer.status, answer.body.toString()], [200, '0123456789'])
        await within('closed', connection.closed)
        const [written, ...more] = forwarded().slice(before)
        assert.deepEqual([written?.record.method, written?.record.status, more], ['PUT', 200, []])
        const freshStatus = (await (await doorUe(lab, 'certificate')).request('GET', OWN)).status
        assert.equal(freshStatus, who === 'another' ? 200 : 403)
        await unrevoke()
      })
    }

    test('an answer that has begun is not cut off', async (t) => {
      const alice = await doorUe(lab, 'certificate')
      const connection = await keptConnection(t, alice)
      const toAs = await putUnderWay(connection, alice)
      // A small one would be held until it is whole.
      const more = 'x'.repeat(100_000)
      toAs.write(`HTTP/1.1 200 OK\r\nContent-Length: ${more.length + 10}\r\n\r\n01234`)
      for (let i = 0; i < 250 && !connection.pending().includes('01234'); i++) await delay(20)
      assert.ok(connection.pending().includes('01234'))
      await rewriteList(lab)
      toAs.write(`56789${more}`)
      assert.equal((await connection.answer('PUT')).body.toString(), `0123456789${more}`)
      await within('closed', connection.closed)
    })

    test('what was sent behind it is not served', async (t) => {
      const alice = await doorUe(lab, 'certificate')
      const connection = await keptConnection(t, alice)
      const toAs = await putUnderWay(connection, alice)
      const seen = as.arrived.length
      await rewriteList(lab)
      connection.write(await alice.signed('DELETE', OWN))
      toAs.write(`${OK}0123456789`)
      assert.equal((await connection.answer('PUT')).status, 200)
      await within('closed', connection.closed)
      assert.doesNotMatch(connection.pending().toString('latin1'), /^HTTP\/1\.1 [123]/m)
      assert.equal(as.arrived.length, seen)
    })

    test('one that did not come by certificate is answered, and its connection stays', async (t) => {
      for (const way of ['password', 'psk'] as const satisfies readonly Way[]) {
        const alice = await doorUe(lab, way)
        const connection = await keptConnection(t, alice)
        const toAs = await putUnderWay(connection, alice)
        await rewriteList(lab)
        toAs.write(`${OK}0123456789`)
        assert.equal((await connection.answer('PUT')).status, 200)
        connection.write(await alice.signed('GET', OWN))
        assert.equal((await connection.answer()).status, 200, way)
      }
    })

    async function unrevoke(): Promise<void> {
      const certs = join(lab.directory, 'certs')
      await writeRevocations(certs, { now: Date.now() - 60_000, validDays: 1, forget: true })
      assert.equal(lab.app.reload(), true)
    }
  })
})

describe('a list of revoked certificates past its end', () => {
  test('refuses who comes by certificate, on a connection from before too, until there is a new one', async (t) => {
    const clock = { now: Date.now() }
    const lab = await revokingLab({ now: () => clock.now, listHours: 2 })
    t.after(() => lab.close())
    const alice = await doorUe(lab, 'certificate')
    const connection = await keptConnection(t, alice)
    clock.now += HOUR_MS
    connection.write(await alice.signed('GET', OWN))
    assert.equal((await connection.answer()).status, 200, 'an hour before the end')

    clock.now += HOUR_MS
    const seen = lab.seen.length
    connection.write(await alice.signed('PUT', OWN, { body: '<a/>' }))
    assertRefusal(lab, await connection.answer('PUT'), REFUSED)
    assertRefusal(lab, await alice.request('GET', OWN), REFUSED)
    assert.equal(lab.seen.length, seen)
    const byPassword = await doorUe(lab, 'password')
    assert.equal((await byPassword.request('GET', OWN)).status, 200)

    await rewriteList(lab, 12)
    await within('closed', connection.closed)
    assert.equal((await alice.request('GET', OWN)).status, 200)
  })

  test('is no matter where none is kept: the certificate is good for longer', async (t) => {
    const clock = { now: Date.now() }
    const lab = await testLab({ recording: true, now: () => clock.now, prepare: openAllDoors })
    t.after(() => lab.close())
    const alice = await doorUe(lab, 'certificate')
    const connection = await keptConnection(t, alice)
    clock.now += 2 * HOUR_MS
    connection.write(await alice.signed('GET', OWN))
    assert.equal((await connection.answer()).status, 200)
  })
})
