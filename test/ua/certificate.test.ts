import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type Fqdn, type Impu, parseImpi, parseImpu } from '../../src/core/identity.ts'
import type { FaultCode } from '../../src/errors.ts'
import { type Issued, issueLeaf, makeLabPki } from '../../src/tls/issue.ts'
import { type CertificateDoorOptions, certificateDoor } from '../../src/ua/certificate.ts'
import { canonicalSubject, type PeerCertificate, readPeerCertificate } from '../../src/ua/peer-certificate.ts'
import { parseApSubscribers, ussListOf } from '../../src/ua/subscriber-file.ts'

const now = Date.UTC(2026, 10, 1)
const DAY_MS = 86_400_000
const { ca } = await makeLabPki({ names: { naf: [], bsf: [], znClients: [] }, now, validDays: 30 })
const CAROL = 'sip:carol@ims.example.org'
const DAVE = 'sip:dave@ims.example.org'
const [carolImpu, daveImpu] = [CAROL, DAVE] as unknown as [Impu, Impu]
const nafFqdn = 'xcap.example.org' as Fqdn
const request = { nafFqdn, gsids: [2, 3] }

const issue = (...sans: string[]): Promise<Issued> =>
  issueLeaf(ca, { use: 'subscriber', name: 'carol', sans, keyType: 'p256' }, now, 30)
const peerWith = async (...sans: string[]): Promise<PeerCertificate> =>
  readPeerCertificate(new X509Certificate((await issue(...sans)).certificate))

/** What node:crypto says of a certificate, as far as it is looked at. */
const said = (subjectAltName: string | undefined, subject = 'C=DE\nO=x\nCN=carol'): X509Certificate =>
  ({
    subject,
    issuer: 'CN=CA',
    subjectAltName,
    fingerprint256: 'AB',
    serialNumber: '01',
    validFrom: new Date(now).toUTCString(),
    validTo: new Date(now + DAY_MS).toUTCString(),
  }) as X509Certificate

describe('a client certificate', () => {
  test('tells names, identities, dates and fingerprint', async () => {
    const { certificate } = await issue(
      'sip:Carol@IMS.example.org;user=phone',
      'tel:+1-555-0100003',
      'urn:gsma:imei:1',
      'carol@IMS.example.org',
    )
    const x509 = new X509Certificate(certificate)
    const peer = readPeerCertificate(x509)
    assert.equal(peer.fault, undefined)
    assert.deepEqual(peer.impus, ['sip:Carol@ims.example.org', 'tel:+15550100003'])
    assert.equal(peer.impi, 'carol@ims.example.org')
    assert.deepEqual(peer.sans, [
      { type: 'URI', value: 'sip:Carol@ims.example.org' },
      { type: 'URI', value: 'tel:+15550100003' },
      { type: 'URI', value: 'urn:gsma:imei:1' },
      { type: 'email', value: 'carol@ims.example.org' },
    ])
    assert.equal(peer.subject, 'CN=gba-proxy lab subscriber carol')
    assert.deepEqual([peer.fingerprint256, peer.serialNumber], [x509.fingerprint256, x509.serialNumber])
    assert.deepEqual([peer.validFrom, peer.validTo], [now - 3_600_000, now + 30 * DAY_MS])
  })

  test('without alternative names names nobody, and is none the worse for it', () => {
    const peer = readPeerCertificate(said(undefined))
    assert.deepEqual([peer.fault, peer.sans, peer.impus], [undefined, [], []])
  })

  for (const [name, san] of [
    ['a comma', `sip:carol@ims.example.org, URI:${DAVE}`],
    ['a line end', `sip:carol@ims.example.org\nURI:${DAVE}`],
    ['a NUL', 'sip:carol@ims.example.org\0.evil.example'],
    ['a quotation mark', `sip:"carol"@ims.example.org`],
    ['a backslash', 'sip:carol\\u0040x@ims.example.org'],
    ['a character beyond ASCII', 'sip:c\u00e4rol@ims.example.org'],
    ['a blank', 'sip:carol @ims.example.org'],
    ['an empty user', 'sip:@ims.example.org'],
    ['no host', 'sip:carol'],
    ['an e-mail address with a NUL', 'carol\0@ims.example.org'],
    ['a URI of another scheme with a NUL', 'urn:x:\0'],
    ['a temporary identity', 'sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org'],
    ['a wildcarded identity', 'sip:car!.*!@ims.example.org'],
    ['a temporary private identity', `${Buffer.alloc(24).toString('base64')}@tmpi.bsf.3gppnetwork.org`],
  ] as const) {
    test(`with ${name} in a name is spoiled as a whole, whatever else it names`, async () => {
      const peer = await peerWith(CAROL, san)
      assert.notEqual(peer.fault, undefined)
      assert.deepEqual([peer.sans, peer.impus, peer.impi], [[], [], undefined])
    })
  }

  test('with a comma that belongs to an identity has that one identity', async () => {
    assert.deepEqual((await peerWith("sip:ca,r'ol@ims.example.org")).impus, ["sip:ca,r'ol@ims.example.org"])
  })

  test('may have 64 names, and not one more', async () => {
    const names = Array.from({ length: 65 }, (_, i) => `sip:u${i}@ims.example.org`)
    assert.equal((await peerWith(...names.slice(1))).impus.length, 64)
    assert.notEqual((await peerWith(...names)).fault, undefined)
  })

  test('with two private identities is spoiled; the same one twice is one', async () => {
    assert.notEqual((await peerWith('a@ims.example.org', 'b@ims.example.org')).fault, undefined)
    assert.equal((await peerWith('a@ims.example.org', 'a@IMS.example.org')).impi, 'a@ims.example.org')
  })

  test('has names of other types, which name nobody here', () => {
    const text =
      'DirName:"CN=d\\\\\\u002c URI:sip:evil@x.org", othername:<unsupported>, IP Address:0:0:0:0:0:0:0:1, ' +
      `Registered ID:1.2.3, othername:"UPN:a\\u002c b", URI:${CAROL}`
    const peer = readPeerCertificate(said(text))
    assert.deepEqual([peer.fault, peer.sans], [undefined, [{ type: 'URI', value: CAROL }]])
  })

  for (const text of [
    `URI:${CAROL},URI:${DAVE}`,
    `URI:${CAROL}, `,
    `, URI:${CAROL}`,
    `URI:${CAROL}, ${DAVE}`,
    `uri:${CAROL}`,
    `URI:"${CAROL}`,
    `URI:"${CAROL}"x`,
    `URI:"\\x41"`,
    'URI',
  ]) {
    test(`whose names read ${JSON.stringify(text)} is spoiled`, () => {
      assert.notEqual(readPeerCertificate(said(text)).fault, undefined)
    })
  }

  test('never makes anything but a fault or canonical names of any text', () => {
    const parts = fc.constantFrom(
      'URI:',
      'DNS:',
      'email:',
      'DirName:',
      CAROL,
      '"',
      '\\',
      '\\u002c',
      ', ',
      ',',
      "'",
      '\0',
      'x',
    )
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(parts).map((all) => all.join('')),
        ),
        (text) => {
          const { fault, sans, impus } = readPeerCertificate(said(text))
          if (fault !== undefined) return assert.deepEqual(sans, [])
          for (const { value } of sans) assert.match(value, /^[\x21-\x7e]+$/)
          for (const impu of impus) assert.equal(parseImpu(impu), impu)
        },
      ),
    )
  })

  test('cannot pass one component of its subject for two', async () => {
    const { certificate } = await issueLeaf(ca, { use: 'subscriber', name: 'x\nO=y,CN=carol', sans: [CAROL] }, now, 1)
    const { subject } = readPeerCertificate(new X509Certificate(certificate))
    assert.equal(subject, 'CN=gba-proxy lab subscriber x\\0AO=y\\,CN=carol')
  })

  test('has its subject written the last component first, and a file may write it with blanks', () => {
    const subject = 'CN=carol+UID=c1,O=x\\, y \\+ z,C=DE'
    assert.equal(readPeerCertificate(said(undefined, 'C=DE\nO=x\\, y \\+ z\nUID=c1 + CN=carol')).subject, subject)
    assert.equal(canonicalSubject(subject), subject)
    assert.equal(canonicalSubject('CN = carol , O=x\\, y'), 'CN=carol,O=x\\, y')
    for (const text of ['', 'carol', 'CN=a,,O=b', 'CN=a,', 'CN=a\nO=b', 'CN=ä', 'CN=a\\']) {
      assert.equal(canonicalSubject(text), undefined, JSON.stringify(text))
    }
  })
})

const FILE = parseApSubscribers(
  `subscribers:
  - impi: carol@ims.example.org
    impus: ['${CAROL}', 'tel:+15550100003']
    gsids: [3]
    flags: [7]
    certificate: { subject: 'CN=gba-proxy lab subscriber carol' }
  - impus: ['${DAVE}']
    certificate: { san: 'DNS:dave.example.org' }
  - impus: ['sip:erin@ims.example.org', 'sip:lobby!.*!@ims.example.org']
    gsids: [2]
    digest: { username: erin, realm: xcap.example.org, ha1: { MD5: ${'0a'.repeat(16)} } }
`,
  'ap-subscribers.yaml',
)
const [carol, , erin] = FILE.all
const other = (peer: PeerCertificate): PeerCertificate => ({ ...peer, subject: 'CN=other' })

const door = (options: Partial<CertificateDoorOptions> = {}) =>
  certificateDoor({ subscribers: () => FILE, settings: 'file', now: () => now, ...options })
const enter = (peer: PeerCertificate, options: Partial<CertificateDoorOptions> = {}) =>
  door(options)
    .enter(peer, request)
    .verify(new Uint8Array(), () => assert.fail('there is no bootstrap'))
const refused = (peer: PeerCertificate, code: FaultCode, options: Partial<CertificateDoorOptions> = {}) =>
  assert.rejects(enter(peer, options), { code })

describe('the door for certificates', () => {
  test('lets her in whom the file marks, with what the file gives her and no more', async () => {
    const attempt = door().enter(await peerWith('sip:x@other.example'), request)
    assert.equal(attempt.needsBody, false)
    const who = await attempt.verify(new Uint8Array(), () => true)
    assert.ok(carol)
    assert.deepEqual([who.door, who.impi, who.nafFqdn], ['certificate', 'carol@ims.example.org', nafFqdn])
    assert.deepEqual(who.ussList, ussListOf(carol, [3]))
    assert.deepEqual([who.btid, who.uaProtocolId, who.tolerances, who.coversBody], [undefined, undefined, [], false])
    assert.equal(who.authenticationInfo(new Uint8Array()), undefined)
  })

  test('asks for the dates at every request: a connection outlives its certificate', async () => {
    const peer = await peerWith(CAROL)
    await enter(peer, { now: () => peer.validFrom })
    await enter(peer, { now: () => peer.validTo })
    await refused(peer, 'UA_CERTIFICATE_REFUSED', { now: () => peer.validFrom - 1 })
    await refused(peer, 'UA_CERTIFICATE_REFUSED', { now: () => peer.validTo + 1 })
    await refused({ ...peer, validTo: Number.NaN }, 'UA_CERTIFICATE_REFUSED')
    await refused({ ...peer, validFrom: Number.NaN }, 'UA_CERTIFICATE_REFUSED')
  })

  test('asks at every request whether it was revoked, and whether the file still knows her', async () => {
    const peer = await peerWith(CAROL)
    let isRevoked = false
    let subscribers = FILE
    const options = { isRevoked: () => isRevoked, subscribers: () => subscribers }
    const attempt = door(options).enter(peer, request)
    const verify = () => attempt.verify(new Uint8Array(), () => false)
    await verify()
    isRevoked = true
    await assert.rejects(verify(), { code: 'UA_CERTIFICATE_REFUSED' })
    isRevoked = false
    subscribers = parseApSubscribers('', 'empty')
    await assert.rejects(verify(), { code: 'UA_CERTIFICATE_UNKNOWN' })
  })

  for (const settings of ['file', 'certificate', 'bsf'] as const) {
    const options = { settings, settingsOf: () => assert.fail('asked for somebody who is refused') }

    test(`refuses a spoiled certificate though the file marks it (${settings})`, async () => {
      await refused(await peerWith(CAROL, 'sip:carol'), 'UA_CERTIFICATE_REFUSED', options)
    })

    test(`refuses what names identities of two subscribers of the file (${settings})`, async () => {
      await refused(other(await peerWith(CAROL, DAVE)), 'UA_CERTIFICATE_REFUSED', options)
      await refused(other(await peerWith('carol@ims.example.org', DAVE)), 'UA_CERTIFICATE_REFUSED', options)
      await refused(other(await peerWith(CAROL, 'sip:lobby1@ims.example.org')), 'UA_CERTIFICATE_REFUSED', options)
    })

    test(`refuses what is marked as one subscriber and names or is marked as another (${settings})`, async () => {
      await refused(await peerWith(DAVE), 'UA_CERTIFICATE_REFUSED', options)
      const two = { ...(await peerWith()), sans: [{ type: 'DNS', value: 'dave.example.org' }] as const }
      await refused(two, 'UA_CERTIFICATE_REFUSED', options)
    })
  }

  test('knows nobody by a name alone where the file decides', async () => {
    for (const san of ['sip:erin@ims.example.org', 'sip:frank@ims.example.org', CAROL]) {
      await refused(other(await peerWith(san)), 'UA_CERTIFICATE_UNKNOWN')
      await refused(other(await peerWith(san)), 'UA_CERTIFICATE_UNKNOWN', { subscribers: () => undefined })
    }
  })

  test('takes the word of the CA where the certificate decides, for every service of the route and without flags', async () => {
    const peer = await peerWith('sip:frank@ims.example.org', 'tel:+15550100009', 'frank@ims.example.org')
    for (const subscribers of [() => FILE, () => undefined]) {
      const { impi, ussList } = await enter(other(peer), { settings: 'certificate', subscribers })
      assert.equal(impi, 'frank@ims.example.org')
      const uids = ['sip:frank@ims.example.org', 'tel:+15550100009']
      assert.deepEqual(ussList, [
        { gsid: 2, gsType: 2, uids, flags: [] },
        { gsid: 3, gsType: 3, uids, flags: [] },
      ])
    }
  })

  test('takes no word of the CA for a certificate that names no public identity', async () => {
    for (const san of ['frank@ims.example.org', 'urn:x:frank']) {
      await refused(other(await peerWith(san)), 'UA_CERTIFICATE_UNKNOWN', { settings: 'certificate' })
    }
  })

  test('gives her whom the file lists without marks what the file says, not what the CA says', async () => {
    const peer = other(await peerWith('sip:erin@ims.example.org', 'sip:not-in-file@ims.example.org'))
    assert.ok(erin)
    assert.deepEqual((await enter(peer, { settings: 'certificate' })).ussList, ussListOf(erin, [2]))
  })

  test('refuses a certificate of the CA that names her whose certificates the file marks', async () => {
    await refused(other(await peerWith(CAROL)), 'UA_CERTIFICATE_REFUSED', { settings: 'certificate' })
    await refused(other(await peerWith('tel:+15550100003')), 'UA_CERTIFICATE_REFUSED', { settings: 'certificate' })
  })
})

describe('the door for certificates, where the settings are asked for', () => {
  const uss = { gsid: 3, gsType: 3, uids: [carolImpu], flags: [9] }
  const settings = 'bsf' as const
  const subscribers = () => undefined

  test('asks by private identity, then by the first public one, and takes what it is told', async () => {
    const asked: unknown[] = []
    const options = (known: string) => ({
      settings,
      subscribers,
      settingsOf: async (identity: string, gsids: readonly number[]) => {
        asked.push([identity, gsids])
        return identity === known ? { impi: parseImpi('c@ims.example.org') as never, ussList: [uss] } : undefined
      },
    })
    const peer = await peerWith(CAROL, 'tel:+15550100003', 'carol@ims.example.org')
    const { impi, ussList } = await enter(peer, options(CAROL))
    assert.deepEqual([impi, ussList], ['c@ims.example.org', [uss]])
    assert.deepEqual(asked, [
      ['carol@ims.example.org', [2, 3]],
      [CAROL, [2, 3]],
    ])
    asked.length = 0
    await enter(peer, options('carol@ims.example.org'))
    assert.equal(asked.length, 1)
    await refused(peer, 'UA_CERTIFICATE_UNKNOWN', options('nobody'))
  })

  test('refuses a certificate none of whose identities are those of the subscriber that its private one names', async () => {
    const settingsOf = async () => ({ ussList: [{ ...uss, uids: [daveImpu] }] })
    await refused(await peerWith(CAROL, 'dave@ims.example.org'), 'UA_CERTIFICATE_REFUSED', {
      settings,
      subscribers,
      settingsOf,
    })
  })

  test('lets a failure of whoever is asked through', async () => {
    const settingsOf = () => Promise.reject(new RangeError('broken'))
    await assert.rejects(enter(await peerWith(CAROL), { settings, subscribers, settingsOf }), RangeError)
  })

  test('cannot be opened with nobody to ask', () => {
    assert.throws(() => door({ settings }), RangeError)
  })
})
