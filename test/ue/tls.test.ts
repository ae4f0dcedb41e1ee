import assert from 'node:assert/strict'
import { before, describe, type TestContext, test } from 'node:test'
import { type LabPki, makeLabPki } from '../../src/tls/issue.ts'
import { createUe, type UeOptions } from '../../src/ue/flow.ts'
import { card } from './card.ts'
import { BSF, fakeBsf, fakeNaf, NAF } from './fake-network.ts'

let pki: LabPki
before(async () => {
  pki = await makeLabPki({ names: { bsf: [BSF], naf: [NAF], znClients: [] }, now: Date.now(), validDays: 1 })
})

async function lab(t: TestContext, options: UeOptions, maxVersion: 'TLSv1.2' | 'TLSv1.3' = 'TLSv1.3') {
  const bsf = await fakeBsf()
  const naf = await fakeNaf({ sessions: bsf.sessions, tls: { ...pki.ap, maxVersion } })
  const ue = createUe(card({ bsf: bsf.port, naf: naf.port }), { ca: pki.ca.certificate, ...options })
  t.after(async () => {
    ue.close()
    await Promise.all([bsf.close(), naf.close()])
  })
  return { ue, naf }
}

const URL_ = `https://${NAF}/`

const refused = (code: string) => (error: unknown) => {
  assert.equal((error as { code?: string }).code, code)
  return true
}

describe('a UE that is told about TLS', () => {
  for (const version of ['1.2', '1.3'] as const) {
    test(`speaks TLS ${version} only, and has the key that goes with it`, async (t) => {
      const { ue } = await lab(t, { tls: version })
      const { status, connection } = await ue.request('GET', URL_)
      assert.deepEqual([status, connection.tls?.version], [200, `TLSv${version}`])
      assert.equal((await ue.credentials(URL_)).connection.tls?.version, `TLSv${version}`)
    })
  }

  test('does not fall back to another version', async (t) => {
    const { ue, naf } = await lab(t, { tls: '1.3' }, 'TLSv1.2')
    await assert.rejects(ue.request('GET', URL_), refused('TLS_FAILED'))
    assert.equal(naf.requests.length, 0)
  })

  for (const [tls, cipher] of [
    ['1.2', 'ECDHE-ECDSA-CHACHA20-POLY1305'],
    ['1.3', 'TLS_CHACHA20_POLY1305_SHA256'],
  ] as const) {
    test(`offers ${cipher} when it is told to, and has the key that goes with it`, async (t) => {
      const { ue } = await lab(t, { tls, ciphers: cipher })
      const { status, connection } = await ue.request('GET', URL_)
      assert.deepEqual([status, connection.tls?.cipher], [200, cipher])
    })
  }

  test('is told about ciphers that are none', async (t) => {
    const { ue } = await lab(t, { ciphers: 'NONSENSE' })
    await assert.rejects(ue.request('GET', URL_), refused('CIPHERS_UNUSABLE'))
  })

  test('bootstraps as ever', async (t) => {
    const bsf = await fakeBsf()
    const ue = createUe(card({ bsf: bsf.port }), { upgrade: true, ciphers: 'NONSENSE', tls: '1.3' })
    t.after(() => bsf.close())
    assert.ok((await ue.bootstrap()).btid)
    ue.close()
  })
})
