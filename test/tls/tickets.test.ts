import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { before, describe, test } from 'node:test'
import { Secret } from '../../src/core/secret.ts'
import type { Issued, LabPki } from '../../src/tls/issue.ts'
import type { TicketSecret } from '../../src/tls/live.ts'
import { labPki, meetLive, serveLive, serverLeaf, tlsFolder } from '../support/live-tls.ts'

const naf = 'xcap.example.org'
const lists = 'lists.example.org'
const servername = naf

/** What is in the file, made a key. */
const ticketsFrom = (file: string): TicketSecret => ({
  file,
  read: () => new Secret(createHash('sha256').update(readFileSync(file)).digest()),
})

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  describe(`sessions of processes with one ticket secret, ${version}`, () => {
    const only = { minVersion: version, maxVersion: version }
    let pki: LabPki
    let renewed: Issued
    let ofLists: Issued
    before(async () => {
      pki = await labPki(naf)
      ;[renewed, ofLists] = await Promise.all([serverLeaf(pki.ca, naf), serverLeaf(pki.ca, lists)])
    })
    const resumes = async (port: number, session: Buffer | undefined, name = servername) =>
      (await meetLive(port, { servername: name, ...only, ...(session && { session }) })).resumed
    const sessionOf = async (port: number) => (await meetLive(port, { servername, ...only })).session

    test('resume at each other, and nowhere else', async (t) => {
      const { put, putPair } = tlsFolder(t)
      const files = { certificates: [putPair('ap', pki.ap)] }
      const tickets = ticketsFrom(put('tickets.key', 'shared'))
      const [one, two] = [await serveLive(t, files, { tickets }), await serveLive(t, files, { tickets })]
      const session = await sessionOf(one.port)
      assert.equal(await resumes(two.port, session), true)
      const stranger = await serveLive(t, files, { tickets: ticketsFrom(put('other.key', 'another')) })
      assert.equal(await resumes(stranger.port, session), false)
    })

    test('end with a change of any file, and of the secret', async (t) => {
      for (const changed of ['certificate', 'secret']) {
        const { put, putPair } = tlsFolder(t)
        const files = { certificates: [putPair('ap', pki.ap)] }
        const { port, live } = await serveLive(t, files, { tickets: ticketsFrom(put('tickets.key', 'shared')) })
        const session = await sessionOf(port)
        assert.equal(await resumes(port, session), true)
        if (changed === 'certificate') putPair('ap', renewed)
        else put('tickets.key', 'fresh')
        assert.equal(live.reload(), true)
        assert.equal(await resumes(port, session), false)
        assert.equal(await resumes(port, await sessionOf(port)), true)
      }
    })

    test('do not go from one set of certificates to another', async (t) => {
      const { put, putPair } = tlsFolder(t)
      const files = { certificates: [putPair('ap', pki.ap), putPair('lists', ofLists)] }
      const { port } = await serveLive(t, files, { tickets: ticketsFrom(put('tickets.key', 'shared')) })
      assert.equal(await resumes(port, await sessionOf(port), lists), false)
    })
  })
}
