import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { describe, test } from 'node:test'
import type { TlsOptions } from 'node:tls'
import type { Fqdn } from '../../src/core/identity.ts'
import { auditor } from '../../src/observe/audit.ts'
import { createLog } from '../../src/observe/log.ts'
import { createServer } from '../../src/server.ts'
import { memoryBootstrapStore } from '../../src/store/memory.ts'
import { type Issued, type LabPki, makeLabPki } from '../../src/tls/issue.ts'
import { httpKeySource } from '../../src/zn/http.ts'
import { localKeySource } from '../../src/zn/local.ts'
import { formatBir, NBSP_GBA_PATH } from '../../src/zn/nbsp-gba.ts'
import zn, { type RemoteNaf } from '../../src/zn/plugin.ts'
import type { KeySource } from '../../src/zn/port.ts'
import type { Adapter } from '../contract/adapter.ts'
import {
  A_BIR,
  A_NAF,
  GOLDEN_BOOTSTRAP,
  type KeySourceWorld,
  keySourceContract,
  refusesKey,
} from '../contract/key-source.ts'

const AP = 'ap.example.org' as Fqdn
const OTHER = 'other.example.org' as Fqdn
/** No host name: what a CA that is too generous might sign. */
const ANY = '*.example.org' as Fqdn
const names = { bsf: ['bsf.example.org' as Fqdn], naf: [], znClients: [AP, OTHER, ANY].map((name) => ({ name })) }
const pki: LabPki = await makeLabPki({ names, now: Date.now(), validDays: 1 })

const limits = {
  ...{ bodyBytes: 65_536, headerBytes: 16_384, headersTimeoutMs: 5_000, requestTimeoutMs: 5_000 },
  ...{ keepAliveTimeoutMs: 5_000, connections: 100 },
}
const tlsOf = ({ certificate, key }: Issued) => ({ cert: certificate, key, ca: pki.ca.certificate })
const print = (issued: Issued) => new X509Certificate(issued.certificate).fingerprint256
const issued = (name: Fqdn): Issued => pki.znClients[name] ?? assert.fail(`no certificate for ${name}`)

interface Recorded {
  readonly event: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** Nbsp_GBA as the BSF serves it. */
async function serving(
  nafs: readonly RemoteNaf[],
  world: Omit<KeySourceWorld, 'naf'>,
  tls: TlsOptions | null = { ...tlsOf(pki.bsf), requestCert: true, rejectUnauthorized: true },
) {
  const records: Recorded[] = []
  const audit = auditor((event, fields) => records.push({ event, fields }), undefined)
  const log = createLog({ level: 'error', identities: 'hashed', destination: { write() {} } })
  const server = createServer({ log, limits, ...(tls && { tls }) })
  await server.register(zn, { nafs: () => nafs, audit, ...world })
  await server.listen({ host: '127.0.0.1', port: 0, listenTextResolver: () => '' })
  const url = `${tls ? 'https' : 'http'}://127.0.0.1:${(server.server.address() as AddressInfo).port}`
  return { url, records, close: () => server.close() }
}

/** A key source over it that shows one of the client certificates. */
async function overMutualTls(nafs: readonly RemoteNaf[], world: Omit<KeySourceWorld, 'naf'>, client: Fqdn = AP) {
  const { url, records, close } = await serving(nafs, world)
  const tls = tlsOf(issued(client))
  const keys = httpKeySource({ apiRoot: url, tls, timeoutMs: 5_000, assumedLifetimeS: 1, now: world.now })
  return {
    store: keys,
    records,
    async close() {
      await keys.close?.()
      await close()
    },
  }
}

const bySan: RemoteNaf['certificate'] = { fingerprint256: '', san: AP }

const local: Adapter<KeySource, KeySourceWorld> = {
  name: 'the BSF in this process',
  open: async ({ bootstraps, naf, now }) => ({
    store: localKeySource(bootstraps, () => naf, now),
    close: async () => {},
  }),
}
const http: Adapter<KeySource, KeySourceWorld> = {
  name: 'HTTP with mutual TLS',
  open: ({ naf, ...world }) => overMutualTls([{ ...naf, certificate: bySan }], world),
}

keySourceContract(local)
keySourceContract(http)

describe('Zn over mutual TLS', () => {
  const bootstraps = memoryBootstrapStore({ maxEntries: 10 })
  const world = { bootstraps, now: () => 2_000 }
  /** @returns what was recorded */
  async function fetching(
    nafs: readonly RemoteNaf[],
    run: (keys: KeySource) => Promise<unknown>,
    client?: Fqdn,
  ): Promise<Recorded[]> {
    await bootstraps.put(GOLDEN_BOOTSTRAP)
    const { store, close, records } = await overMutualTls(nafs, world, client)
    try {
      await run(store)
    } finally {
      await close()
    }
    return records
  }
  const [ap, other] = [print(issued(AP)), print(issued(OTHER))]

  for (const [what, certificate] of [
    ['name', bySan],
    ['fingerprint', { fingerprint256: ap, san: '' }],
    ['fingerprint in lower case without colons', { fingerprint256: ap.replaceAll(':', '').toLowerCase(), san: '' }],
    ['name and fingerprint', { fingerprint256: ap, san: AP }],
  ] as const) {
    test(`lets in the NAF whose certificate an entry names by ${what}`, async () => {
      await fetching([{ ...A_NAF, certificate }], (keys) => keys.fetch(A_BIR))
    })
  }

  for (const [why, certificate] of [
    ['no entry asks for anything: such an entry is nobody’s', { fingerprint256: '', san: '' }],
    ['the entry names another', { fingerprint256: '', san: OTHER }],
    ['the entry has another fingerprint', { fingerprint256: other, san: '' }],
    ['the name fits and the fingerprint does not', { fingerprint256: other, san: AP }],
    ['the fingerprint fits and the name does not', { fingerprint256: ap, san: OTHER }],
    ['the entry names a domain above', { fingerprint256: '', san: 'example.org' }],
    ['the entry names the holder as the subject does', { fingerprint256: '', san: `gba-proxy lab client ${AP}` }],
  ] as const) {
    test(`refuses a certificate of its CA where ${why}`, async () => {
      const records = await fetching([{ ...A_NAF, certificate }], (keys) =>
        refusesKey('ZN_NOT_AUTHORISED', keys.fetch(A_BIR)),
      )
      assert.deepEqual(
        records.map(({ event, fields }) => [event, fields.code, fields.status]),
        [['zn.refused', 'ZN_NAF_NOT_LISTED', 403]],
      )
    })
  }

  test('refuses a certificate for any name below a domain as that of one NAF', async () => {
    await fetching(
      [{ ...A_NAF, certificate: bySan }],
      (keys) => refusesKey('ZN_NOT_AUTHORISED', keys.fetch(A_BIR)),
      ANY,
    )
  })

  test('refuses everybody where there is no entry', async () => {
    await fetching([], (keys) => refusesKey('ZN_NOT_AUTHORISED', keys.fetch(A_BIR)))
  })

  test('gives each NAF what its own entry allows, not what another’s does', async () => {
    const nafs: RemoteNaf[] = [
      { ...A_NAF, certificate: bySan, gsids: [2, 3] },
      { ...A_NAF, certificate: { fingerprint256: '', san: OTHER }, gsids: [2] },
    ]
    await fetching(nafs, (keys) => keys.fetch(A_BIR))
    const records = await fetching(nafs, (keys) => refusesKey('ZN_NOT_AUTHORISED', keys.fetch(A_BIR)), OTHER)
    assert.deepEqual(
      records.map(({ fields }) => fields.code),
      ['ZN_NOT_AUTHORISED'],
    )
  })

  test('records what was granted, to which NAF, and no key', async () => {
    const [record] = await fetching([{ ...A_NAF, certificate: bySan }], (keys) => keys.fetch(A_BIR))
    assert.equal(record?.event, 'zn.granted')
    const { requestId, durationMs, ...fields } = record?.fields ?? {}
    assert.deepEqual([typeof requestId, typeof durationMs], ['string', 'number'])
    assert.deepEqual(fields, { btid: A_BIR.btid, naf: A_BIR.nafFqdn, uaProtocolId: A_BIR.uaProtocolId })
  })

  test('answers no request that came without TLS, whatever the entries', async () => {
    const { close, url } = await serving([{ ...A_NAF, certificate: bySan }], world, null)
    try {
      const headers = { 'content-type': 'application/json' }
      const answer = await fetch(url + NBSP_GBA_PATH, {
        method: 'POST',
        headers,
        body: JSON.stringify(formatBir(A_BIR)),
      })
      assert.equal(answer.status, 403)
      assert.equal(answer.headers.get('content-type'), 'application/problem+json')
      assert.deepEqual(Object.keys((await answer.json()) as object).sort(), ['cause', 'instance', 'status'])
    } finally {
      await close()
    }
  })
})
