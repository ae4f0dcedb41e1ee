import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type ConnectionOptions, connect } from 'node:tls'
import { btidOf, type Fqdn } from '../../src/core/identity.ts'
import { UA_PSK_TLS13, uaProtocolIdOfSuiteCode } from '../../src/core/naf-id.ts'
import { formatPskIdentity } from '../../src/core/psk-identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { impuOf, LAB_BSF, LAB_NAF, LAB_SECOND_NAF } from '../../src/lab.ts'
import { issueLeaf, makeLabPki } from '../../src/tls/issue.ts'
import { doorUe, openAllDoors, pskOptions, WAYS } from '../support/door-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { rawConnect, rawExchange, requestOctets } from '../support/raw-client.ts'
import { assertRefused } from '../support/refusals.ts'

const ALICE = impuOf('alice')
const OWN = `/resource-lists/users/${ALICE}/index`
const BOBS = `/resource-lists/users/${impuOf('bob')}/index`
const get = (target: string, lines: readonly string[] = [], host: string = LAB_NAF) =>
  requestOctets(`GET ${target} HTTP/1.1`, [`Host: ${host}`, 'User-Agent: hand 3gpp-gba', ...lines])

describe('every door', () => {
  let lab: TestLab
  before(async () => {
    lab = await testLab({ recording: true, prepare: openAllDoors })
  })
  after(() => lab.close())

  for (const way of WAYS) {
    test(`${way}: GET and PUT reach the server as alice, without a trace of how she came in`, async () => {
      const alice = await doorUe(lab, way)
      const from = lab.seen.length
      for (const [method, body] of [['GET'], ['PUT', '<a/>']] as const) {
        const answer = await alice.request(method, OWN, body === undefined ? {} : { body })
        assert.equal(answer.status, 200)
        const info = answer.header('authentication-info')
        if (way === 'digest' || way === 'password') assert.match(info ?? '', /rspauth=/)
        else assert.equal(info, undefined)
      }
      const [read, written, ...more] = lab.seen.slice(from)
      assert.deepEqual([read?.method, written?.method, written?.body.toString(), more], ['GET', 'PUT', '<a/>', []])
      const fields = read?.rawHeaders ?? []
      assert.equal(fields[fields.indexOf('x-3gpp-asserted-identity') + 1], `"${ALICE}"`)
      assert.ok(!fields.some((field) => /authorization$|3GPP-bootstrapping|certificate/i.test(field)))
      const { record } = lab.decisions.findLast(({ event }) => event === 'ut.forwarded') ?? assert.fail()
      assert.equal(record.door, way.startsWith('psk') ? 'psk' : way)
    })

    test(`${way}: another subscriber's tree stays shut`, async () => {
      const bob = await doorUe(lab, way, 'bob')
      await assertRefused(lab, () => bob.request('PUT', OWN, { body: '<a/>' }), {
        status: 403,
        code: 'UT_TREE_NOT_OWNED',
      })
    })
  }

  test('costs one authentication vector where there is a bootstrap, and none where there is none', async () => {
    const drawn = () => lab.app.audit.count('zh.av-drawn')
    for (const [way, vectors] of [
      ['psk', 1],
      ['psk in TLS 1.2', 1],
      ['certificate', 0],
    ] as const) {
      const before = drawn()
      const alice = await doorUe(lab, way)
      for (let i = 0; i < 10; i++) assert.equal((await alice.request('GET', OWN)).status, 200)
      assert.equal(drawn() - before, vectors)
    }
  })

  test('who knocks at none is challenged, for a bootstrapped key if it can have one, or else for a password too', async () => {
    const at = { port: lab.app.addresses.ap?.port ?? 0, tls: { servername: LAB_NAF, ca: lab.ca } }
    const realms = async (line: string) => {
      const answer = await rawExchange(at, requestOctets(`GET ${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`, line]))
      assert.equal(answer.status, 401)
      return answer.values('www-authenticate').map((value) => /realm="([^"]*)"/.exec(value)?.[1])
    }
    assert.deepEqual(await realms('User-Agent: hand 3gpp-gba'), [`3GPP-bootstrapping@${LAB_NAF}`])
    assert.deepEqual(await realms('User-Agent: plain'), [`3GPP-bootstrapping@${LAB_NAF}`, LAB_NAF])
  })

  test('a username that nobody has is answered like a wrong password', async () => {
    const alice = await doorUe(lab, 'password')
    const stranger = { username: 'mallory@example.org' }
    for (const [request, code] of [
      [stranger, 'UA_USERNAME_UNKNOWN'],
      [{ password: 'guessed' }, 'UA_RESPONSE_WRONG'],
    ] as const) {
      const answer = await alice.request('GET', OWN, request)
      const { record } = lab.decisions.findLast(({ event }) => event === 'ut.refused') ?? assert.fail()
      assert.deepEqual([answer.status, record.code], [401, code])
      const shape = answer.values('www-authenticate').map((value) => value.replace(/nonce="[^"]*"/, 'nonce'))
      assert.equal(shape.length, 2)
      assert.ok(shape.every((value) => !value.includes('stale')))
    }
  })
})

describe('a connection by shared key', () => {
  test('ends with a renegotiation answer once its key has expired, and serves nobody any more', async () => {
    const clock = { now: Date.now() }
    const lab = await testLab({
      recording: true,
      now: () => clock.now,
      prepare: openAllDoors,
      bsf: { names: [LAB_BSF], keyLifetimeS: 600, ub: { port: 0 } },
    })
    try {
      const alice = await doorUe(lab, 'psk')
      const connection = await rawConnect(alice.at)
      connection.write(await alice.signed('GET', OWN))
      assert.equal((await connection.answer()).status, 200)
      clock.now += 600_000
      connection.write(await alice.signed('GET', OWN))
      const answer = await connection.answer()
      assert.equal(answer.status, 401)
      assert.match(answer.header('www-authenticate') ?? '', /realm="3GPP-bootstrapping@/)
      assert.equal(answer.header('connection'), 'close')
      await connection.closed
      assert.equal(lab.seen.length, 1)
    } finally {
      await lab.close()
    }
  })

  test('asks for a new bootstrap where the route wants one', async () => {
    const clock = { now: Date.now() }
    const routes = [{ appServer: 'lab', doors: ['psk'], maxKeyAgeS: 60 }]
    const lab = await testLab({ recording: true, now: () => clock.now, ap: { routes } })
    try {
      const old = await doorUe(lab, 'psk in TLS 1.2')
      assert.equal((await old.request('GET', OWN)).status, 200)
      clock.now += 61_000
      await assertRefused(lab, () => old.request('GET', OWN), { status: 401, code: 'UA_REBOOTSTRAP_DEMANDED' })
      const young = await doorUe(lab, 'psk in TLS 1.2')
      assert.equal((await young.request('GET', OWN)).status, 200)
    } finally {
      await lab.close()
    }
  })

  describe('as a handshake', () => {
    let lab: TestLab
    before(async () => {
      lab = await testLab({ recording: true, ap: { routes: [{ appServer: 'lab', doors: ['psk', 'digest'] }] } })
    })
    after(() => lab.close())
    const at = (options: ConnectionOptions, servername: string = LAB_NAF) => ({
      port: lab.app.addresses.ap?.port ?? 0,
      tls: { ...options, servername, ca: lab.ca },
    })
    const STRANGER = formatPskIdentity(btidOf(new Uint8Array(16).fill(9), LAB_BSF))
    const someKey = new Secret(new Uint8Array(32).fill(1))
    const refusals = () => lab.decisions.filter(({ event }) => event === 'tls.refused').map(({ record }) => record)

    const alertOf = (options: ConnectionOptions) =>
      new Promise<string>((resolve, reject) => {
        const socket = connect({ host: '127.0.0.1', ...at(options), ...at(options).tls })
        socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
        socket.once('secureConnect', () => {
          socket.destroy()
          reject(new Error('connected'))
        })
      })

    test('of TLS 1.2 under a B-TID that nobody has ends with the alert for that, and is recorded', async () => {
      const from = refusals().length
      assert.equal(await alertOf(pskOptions(STRANGER, someKey, false)), 'ERR_SSL_TLSV1_ALERT_UNKNOWN_PSK_IDENTITY')
      assert.deepEqual(
        refusals()
          .slice(from)
          .map(({ reason, door, source }) => [reason, door, source]),
        [['identity-unknown', 'psk', '127.0.0.1']],
      )
    })

    test('of TLS 1.3 under a B-TID that nobody has goes on with the certificate, and authenticates nobody', async () => {
      const connection = await rawConnect(at(pskOptions(STRANGER, someKey, true)))
      try {
        connection.write(get(OWN))
        const answer = await connection.answer()
        assert.deepEqual([answer.status, lab.seen.length], [401, 0])
        assert.equal(refusals().at(-1)?.reason, 'identity-unknown')
      } finally {
        connection.close()
      }
    })

    test('with a wrong key fails, in both versions', async () => {
      const { btid } = await (await lab.ue('alice')).bootstrap()
      for (const tls13 of [false, true]) {
        const code = await alertOf(pskOptions(formatPskIdentity(btid), someKey, tls13))
        assert.match(code, /^ERR_SSL_|^ECONNRESET$/)
      }
      assert.equal(lab.seen.length, 0)
    })

    test('with the key of one NAF opens no other NAF', async () => {
      const ue = await lab.ue('alice')
      const { btid, ksNaf } = await ue.bootstrap()
      const identity = formatPskIdentity(btid)
      const here = at(pskOptions(identity, ksNaf(LAB_NAF, UA_PSK_TLS13), true))
      await assertRefused(lab, () => rawExchange(here, get(OWN, [], LAB_SECOND_NAF)), {
        status: 421,
        code: 'UA_SNI_MISMATCH',
      })
      const key = ksNaf(LAB_NAF, uaProtocolIdOfSuiteCode(0x00a8))
      const socketOptions = pskOptions(identity, key, false)
      await assert.rejects(rawConnect(at(socketOptions, LAB_SECOND_NAF)))
      assert.equal((await rawExchange(at(socketOptions), get(OWN))).status, 200)
    })
  })

  test('opens nothing where the routes of the NAF do not take it', async () => {
    const lab = await testLab({
      recording: true,
      ap: {
        routes: [
          { appServer: 'lab', host: LAB_NAF, doors: ['digest'] },
          { appServer: 'lab', host: LAB_SECOND_NAF, doors: ['psk'] },
        ],
      },
    })
    try {
      const ue = await lab.ue('alice')
      const { btid, ksNaf } = await ue.bootstrap()
      const to = (naf: Fqdn) => ({
        port: lab.app.addresses.ap?.port ?? 0,
        tls: {
          ...pskOptions(formatPskIdentity(btid), ksNaf(naf, uaProtocolIdOfSuiteCode(0x00a8)), false),
          servername: naf,
          ca: lab.ca,
        },
      })
      await assert.rejects(rawConnect(to(LAB_NAF)))
      assert.equal((await rawExchange(to(LAB_SECOND_NAF), get(OWN, [], LAB_SECOND_NAF))).status, 200)
    } finally {
      await lab.close()
    }
  })
})

describe('a door that is closed', () => {
  test('is closed to what only opens another', async () => {
    const lab = await testLab({
      recording: true,
      prepare: openAllDoors,
      ap: {
        routes: [
          { appServer: 'lab', pathPrefix: '/resource-lists', doors: ['psk', 'certificate'] },
          { appServer: 'lab', pathPrefix: '/pres-rules', doors: ['digest'] },
          { appServer: 'lab', pathPrefix: '/rls-services', doors: ['psk'] },
        ],
      },
    })
    try {
      const closed = { status: 403, code: 'UA_DOOR_CLOSED' } as const
      const rules = `/pres-rules/users/${ALICE}/index`
      const services = `/rls-services/users/${ALICE}/index`
      const [psk, certificate] = [await doorUe(lab, 'psk'), await doorUe(lab, 'certificate')]
      for (const ue of [psk, certificate]) {
        assert.equal((await ue.request('GET', OWN)).status, 200)
        // There, a Digest is asked for.
        await assertRefused(lab, () => ue.request('GET', rules), { status: 401, code: 'UA_CREDENTIALS_MISSING' })
      }
      await assertRefused(lab, () => certificate.request('GET', services), closed)
      assert.equal((await psk.request('GET', services)).status, 200)
      const digest = await (await lab.ue('alice')).request('GET', lab.url(rules))
      assert.equal(digest.status, 200)
      const anonymous = { port: lab.app.addresses.ap?.port ?? 0, tls: { servername: LAB_NAF, ca: lab.ca } }
      for (const lines of [[], ['Authorization: Digest username="alice@example.org"']]) {
        await assertRefused(lab, () => rawExchange(anonymous, get(OWN, lines)), closed)
      }
    } finally {
      await lab.close()
    }
  })
})

describe('a client certificate', () => {
  let lab: TestLab
  before(async () => {
    lab = await testLab({ recording: true, prepare: openAllDoors })
  })
  after(() => lab.close())
  const withCertificate = ({ certificate, key }: { certificate: string; key: string }) => ({
    port: lab.app.addresses.ap?.port ?? 0,
    tls: { cert: certificate, key, servername: LAB_NAF, ca: lab.ca },
  })

  test('of another CA is refused, and is not made up for by a Digest', async () => {
    const names = { naf: [LAB_NAF], bsf: [], znClients: [] }
    const foreign = await makeLabPki({ names, now: Date.now(), validDays: 1 })
    const leaf = { use: 'subscriber', name: 'alice', sans: [ALICE] } as const
    const at = withCertificate(await issueLeaf(foreign.ca, leaf, Date.now(), 1))
    const alice = await doorUe(lab, 'digest')
    const refused = { status: 403, code: 'UA_CERTIFICATE_REFUSED' } as const
    await assertRefused(lab, () => rawExchange(at, get(OWN)), refused)
    await assertRefused(lab, async () => rawExchange(at, await alice.signed('GET', OWN)), refused)
  })

  test('that names nobody is refused', async () => {
    const [certificate = '', key = ''] = await Promise.all(
      ['ca.pem', 'ca.key'].map((name) => readFile(join(lab.directory, 'certs', name), 'utf8')),
    )
    const ca = { certificate, key }
    const nobody = await issueLeaf(ca, { use: 'client', name: 'some.server' as Fqdn }, Date.now(), 1)
    await assertRefused(lab, () => rawExchange(withCertificate(nobody), get(OWN)), {
      status: 403,
      code: 'UA_CERTIFICATE_UNKNOWN',
    })
  })

  test('opens the own tree, and is judged anew on each request of a connection', async () => {
    const alice = await doorUe(lab, 'certificate')
    const connection = await rawConnect(alice.at)
    try {
      for (const [target, status] of [
        [OWN, 200],
        [BOBS, 403],
        [OWN, 200],
      ] as const) {
        connection.write(await alice.signed('GET', target))
        assert.equal((await connection.answer()).status, status)
      }
    } finally {
      connection.close()
    }
  })
})
