import assert from 'node:assert/strict'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { LAB_NAF, LAB_SECOND_NAF } from '../../src/lab.ts'
import { issueLeaf, makeLabPki } from '../../src/tls/issue.ts'
import { writeRevocations } from '../../src/tls/pki-files.ts'
import { ALICE, treeOf } from '../support/attacked.ts'
import { doorUe, openAllDoors, type Way } from '../support/door-ue.ts'
import type { HandUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { rawConnect } from '../support/raw-client.ts'

// Who knows that his certificate is about to be revoked begins handshakes before, and finishes them when he pleases.
const VERSIONS = ['TLSv1.3', 'TLSv1.2'] as const
const OWN = treeOf(ALICE)

/** Passes TCP on; once the server has said something, the client is held back until `release`. */
async function holdingRelay(to: number) {
  const held: (() => void)[] = []
  let isHeld = true
  let answered = () => {}
  const begun = new Promise<void>((resolve) => {
    answered = resolve
  })
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1')
    near.on('error', () => far.destroy()).once('close', () => far.destroy())
    far.on('error', () => near.destroy()).once('close', () => near.destroy())
    let hasSpoken = false
    near.on('data', (part) => {
      if (isHeld && hasSpoken) held.push(() => far.write(part))
      else far.write(part)
    })
    far.on('data', (part) => {
      hasSpoken = true
      near.write(part)
      answered()
    })
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  return {
    port: (server.address() as AddressInfo).port,
    /** The server has said its part of the handshake, and waits for the client's. */
    begun,
    release() {
      isHeld = false
      for (const write of held.splice(0)) write()
    },
    close: () => void server.close(),
  }
}

/**
 * Begins a handshake, lets something happen, finishes it and asks.
 * @returns the status of each answer, up to the end of the connection
 */
async function acrossHandshake(ue: HandUe, version: (typeof VERSIONS)[number], happens: () => Promise<void>) {
  const asked = [await ue.signed('GET', OWN), await ue.signed('PUT', OWN, { body: '<a/>' })]
  const relay = await holdingRelay(ue.at.port)
  const { tls } = ue.at
  const limits = { minVersion: version, maxVersion: version }
  const connecting = rawConnect({ port: relay.port, ...(tls && { tls: { ...tls, ...limits } }) })
  connecting.catch(() => {}) // looked at below
  const statuses: number[] = []
  try {
    await relay.begun
    await happens()
    relay.release()
    const connection = await connecting
    for (const octets of asked) {
      connection.write(octets)
      statuses.push((await connection.answer()).status)
    }
    connection.close()
  } catch (error) {
    // The end of a connection has many names; that of a mistake in here has another.
    assert.match(String(error), /connection ended|ECONNRESET|EPIPE|disconnected|socket hang up/)
  } finally {
    relay.close()
  }
  return statuses
}

describe('a handshake that was begun', () => {
  let lab: TestLab
  let certs: string
  let clientCa: string
  before(async () => {
    lab = await testLab({
      recording: true,
      async prepare(directory) {
        certs = join(directory, 'certs')
        clientCa = join(certs, 'clients.pem')
        const doors = await openAllDoors(directory)
        await copyFile(join(certs, 'ca.pem'), clientCa)
        await writeRevocations(certs, { now: Date.now() - 60_000, validDays: 1 })
        return { ...doors, subscriberCertificates: { caFile: clientCa, crlFile: join(certs, 'ca.crl') } }
      },
    })
  })
  after(() => lab.close())

  const readCa = async () => {
    const [certificate, key] = await Promise.all(
      ['ca.pem', 'ca.key'].map((name) => readFile(join(certs, name), 'utf8')),
    )
    return { certificate: certificate ?? '', key: key ?? '' }
  }
  const takenOver = () => assert.equal(lab.app.reload(), true)
  const revokeNobody = async () => {
    await writeRevocations(certs, { now: Date.now() - 60_000, validDays: 1, forget: true })
    takenOver()
  }
  const changes: Readonly<Record<string, () => Promise<void>>> = {
    async 'the holder was revoked'() {
      await writeRevocations(certs, { now: Date.now() - 60_000, validDays: 1, file: 'sub-alice.pem' })
      takenOver()
    },
    async 'the list was made anew and revokes nobody'() {
      await writeRevocations(certs, { now: Date.now() - 60_000, validDays: 2 })
      takenOver()
    },
    async 'the CA of subscribers was replaced'() {
      const other = await makeLabPki({ names: { naf: [], bsf: [], znClients: [] }, now: Date.now(), validDays: 1 })
      await writeFile(clientCa, other.ca.certificate)
      takenOver()
    },
    async 'the holder was revoked, and all was written back'() {
      await writeRevocations(certs, { now: Date.now() - 60_000, validDays: 1, file: 'sub-alice.pem' })
      takenOver()
      await revokeNobody()
    },
  }

  for (const version of VERSIONS) {
    for (const [what, change] of Object.entries(changes)) {
      test(`before ${what} serves nothing once it is done, ${version}`, async () => {
        await copyFile(join(certs, 'ca.pem'), clientCa)
        await revokeNobody()
        const alice = await doorUe(lab, 'certificate')
        assert.equal((await alice.request('GET', OWN)).status, 200)
        const seen = lab.seen.length
        const statuses = await acrossHandshake(alice, version, change)
        assert.ok(
          statuses.every((status) => status === 403),
          `answered ${statuses}`,
        )
        assert.equal(lab.seen.length, seen, 'nothing reached the application server')
      })
    }

    test(`after the holder was revoked gets 403, ${version}`, async () => {
      await copyFile(join(certs, 'ca.pem'), clientCa)
      await revokeNobody()
      await changes['the holder was revoked']?.()
      const seen = lab.seen.length
      const alice = await doorUe(lab, 'certificate')
      assert.deepEqual(await acrossHandshake(alice, version, async () => {}), [403, 403])
      assert.equal(lab.decisions.at(-1)?.record.code, 'UA_CERTIFICATE_REFUSED')
      assert.equal(lab.seen.length, seen)
      await revokeNobody()
      assert.deepEqual(await acrossHandshake(alice, version, async () => {}), [200, 200])
    })

    // The key of a Digest goes with the suite: those of the emulator are for TLS 1.3.
    const unconcerned: readonly Way[] = version === 'TLSv1.3' ? ['digest', 'psk'] : ['password', 'psk in TLS 1.2']
    for (const way of unconcerned) {
      test(`before the list of revoked ones changed is served by ${way}, ${version}`, async () => {
        const alice = await doorUe(lab, way)
        const change = changes['the holder was revoked'] ?? assert.fail()
        assert.deepEqual(await acrossHandshake(alice, version, change), [200, 200])
      })
    }

    for (const way of ['certificate', ...unconcerned] as const) {
      test(`before our own certificate was swapped is served by ${way}, ${version}`, async () => {
        await copyFile(join(certs, 'ca.pem'), clientCa)
        await revokeNobody()
        const alice = await doorUe(lab, way)
        const swap = async () => {
          const leaf = { use: 'server', name: 'ap', fqdns: [LAB_NAF, LAB_SECOND_NAF] } as const
          const { certificate, key } = await issueLeaf(await readCa(), leaf, Date.now(), 1)
          await writeFile(join(certs, 'ap.pem'), certificate)
          await writeFile(join(certs, 'ap.key'), key)
          takenOver()
        }
        assert.deepEqual(await acrossHandshake(alice, version, swap), [200, 200])
      })
    }
  }
})
