import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { impuOf, type LabSubscriber } from '../../src/lab.ts'
import { createUe, type Ue } from '../../src/ue/flow.ts'
import { PROFILE_NAMES, PROFILES, type ProfileName } from '../../src/ue/profiles.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { assertRefusal, assertRefused } from '../support/refusals.ts'
import { type ScriptedAs, scriptedAs } from '../support/scripted-as.ts'

// What an application server outside the trust domain gets holds nothing of the subscriber but what it is told.
const DOMAIN = 'ims.mnc001.mcc001.3gppnetwork.org'
const IMSIS: Readonly<Record<LabSubscriber, string>> = {
  alice: '001010000000001',
  bob: '001010000000002',
  carol: '001010000000003',
}
const telOf = (name: LabSubscriber) => `tel:+1555010000${IMSIS[name].slice(-1)}`

/** Every identity of a subscriber but the B-TID. */
const identitiesOf = (name: LabSubscriber): string[] => [
  `${IMSIS[name]}@${DOMAIN}`,
  IMSIS[name],
  impuOf(name),
  telOf(name),
  ...(name === 'carol' ? [`sip:${IMSIS.carol}@${DOMAIN}`, `sip:carol.hidden@${DOMAIN}`] : []),
]

const everyOctet = (text: string) => text.replace(/./gs, (octet) => `%${Buffer.from(octet).toString('hex')}`)

/** How a text may be written so that somebody can still read it. */
const ENCODINGS: Readonly<Record<string, (text: string) => string>> = {
  'as it is': (text) => text,
  'in upper case': (text) => text.toUpperCase(),
  'percent-encoded': encodeURIComponent,
  'percent-encoded, each octet': everyOctet,
  'percent-encoded twice': (text) => encodeURIComponent(encodeURIComponent(text)),
  'percent-encoded twice, each octet': (text) => encodeURIComponent(everyOctet(text)),
  'in base64': (text) => Buffer.from(text).toString('base64'),
  'in base64 behind one octet': (text) => Buffer.from(`x${text}`).toString('base64'),
  'in base64 behind two octets': (text) => Buffer.from(`xx${text}`).toString('base64'),
  'in base64url': (text) => Buffer.from(text).toString('base64url'),
  'in hex': (text) => Buffer.from(text).toString('hex'),
}

/** The octets that show a text in one of these ways, wherever it begins; in lower case. */
const runsOf = (text: string): string[] =>
  Object.entries(ENCODINGS).map(([name, encode]) => {
    const encoded = encode(text).toLowerCase()
    // Neighbours change the first and last letters of base64.
    if (!name.startsWith('in base64')) return encoded
    return encoded.replace(/=+$/, '').slice(name.endsWith('octet') || name.endsWith('octets') ? 4 : 0, -2)
  })

interface Kind {
  readonly prefix: string
  readonly pseudonym: 'none' | 'pairwise'
}
const KINDS: readonly Kind[] = [
  { prefix: '/ext', pseudonym: 'none' },
  { prefix: '/pair', pseudonym: 'pairwise' },
]

describe('an application server outside the trust domain', () => {
  let as: ScriptedAs
  let lab: TestLab
  const ues: Ue[] = []
  before(async () => {
    as = await scriptedAs((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'))
    lab = await testLab({
      as: null,
      ap: {
        challenge: { qop: ['auth'] },
        appServers: [
          ...KINDS.map(({ prefix, pseudonym }) => ({
            name: `server${prefix.replace('/', '-')}`,
            url: as.url,
            xcapRoot: prefix,
            trust: 'external',
            pseudonym,
            assert: 'all',
            forwardIntendedIdentity: true,
            identityHeader: ['X-3GPP-Asserted-Identity', 'P-Asserted-Identity', 'X-XCAP-Asserted-Identity'],
          })),
          { name: 'unused', url: as.url },
        ],
        routes: [
          ...KINDS.map(({ prefix }) => ({
            pathPrefix: prefix,
            appServer: `server${prefix.replace('/', '-')}`,
            ownership: 'as-decides',
          })),
          // where hand-made UEs get their first challenge
          { appServer: 'unused' },
        ],
      },
    })
  })
  after(async () => {
    for (const ue of ues) ue.close()
    await lab.close()
    await as.close()
  })

  const everything = (from: number) =>
    as.arrived
      .slice(from)
      .map(({ head, body }) => `${head}\n${body.toString('latin1')}`)
      .join('\n')
      .toLowerCase()

  function assertWithheld(from: number, secrets: readonly string[], what: string): void {
    const octets = everything(from)
    for (const secret of secrets) {
      for (const run of runsOf(secret)) assert.ok(!octets.includes(run), `${what}: ${run} of ${secret}`)
    }
  }

  /** What this kind of server must not learn of a subscriber that it is told under one identity. */
  function secretsOf(name: LabSubscriber, { pseudonym }: Kind, told: string, btid: string): string[] {
    const others = identitiesOf(name).filter((identity) => pseudonym === 'pairwise' || identity !== told)
    const [rand = ''] = btid.split('@')
    return [...others, btid, rand]
  }

  async function profiled(name: ProfileName, subscriber: LabSubscriber): Promise<Ue> {
    const ue = createUe(await lab.sim(subscriber), { profile: PROFILES[name], ca: lab.ca })
    ues.push(ue)
    return ue
  }
  const lastBtid = () => lab.decisions.findLast(({ event }) => event === 'ut.forwarded')?.record.btid ?? assert.fail()

  for (const profile of PROFILE_NAMES) {
    test(`learns nothing from the ${profile} profile, whatever its target, method and identity`, async () => {
      let count = 0
      for (const subscriber of ['alice', 'carol'] as const) {
        const ue = await profiled(profile, subscriber)
        for (const kind of KINDS) {
          for (const xui of [impuOf(subscriber), telOf(subscriber)]) {
            for (const target of PROFILES[profile].targets(xui)) {
              for (const method of ['GET', 'PUT', 'DELETE', 'HEAD']) {
                for (const intendedIdentity of [undefined, xui]) {
                  const from = as.arrived.length
                  const { status } = await ue.request(method, lab.url(kind.prefix + target), {
                    ...(method === 'PUT' && { body: '<list><entry uri="sip:friend@example.org"/></list>' }),
                    ...(intendedIdentity !== undefined && { intendedIdentity }),
                  })
                  assert.equal(status, 200, `${method} ${target}`)
                  assert.equal(as.arrived.length, from + 1)
                  assertWithheld(
                    from,
                    secretsOf(subscriber, kind, xui, lastBtid()),
                    `${method} ${kind.prefix}${target}`,
                  )
                  count++
                }
              }
            }
          }
        }
      }
      assert.ok(count >= 64)
    })
  }

  describe('learns nothing from what a UE adds', () => {
    let ue: HandUe
    before(async () => {
      ue = await handUe(lab)
    })
    const own = (kind: Kind, rest = 'index') => `${kind.prefix}/resource-lists/users/${impuOf('alice')}/${rest}`
    const hidden = () => [...identitiesOf('alice').filter((each) => each !== impuOf('alice')), ue.btid]

    for (const name of [
      ...[
        'User-Agent',
        'Accept',
        'Accept-Language',
        'Cache-Control',
        'Pragma',
        'Referer',
        'Cookie',
        'From',
        'X-Vendor',
      ],
      ...['Contact', 'X-Request-ID', 'Traceparent', 'Origin', 'Via', 'Warning', 'X-UE-Identity', 'Prefer'],
    ]) {
      test(`in ${name}: it is left out, or the request is refused`, async () => {
        const from = as.arrived.length
        let sent = 0
        for (const kind of KINDS) {
          for (const secret of hidden()) {
            for (const encode of Object.values(ENCODINGS)) {
              const octets = (await ue.signed('GET', own(kind), { headers: [`${name}: a=${encode(secret)};b`] }))
                .toString('latin1')
                .replace(name === 'User-Agent' ? 'User-Agent: hand 3gpp-gba\r\n' : '', '')
              const { status } = await ue.send(Buffer.from(octets, 'latin1'))
              assert.equal(status, 200, `${name}: ${encode(secret)}`)
              sent++
            }
          }
        }
        assert.equal(as.arrived.length, from + sent)
        assertWithheld(from, [...hidden(), ue.btid.split('@')[0] ?? ''], name)
      })
    }

    for (const name of ['If-Match', 'If-None-Match', 'Content-Type', 'Content-Language', 'Range']) {
      test(`in ${name}: refused, for without it the request would mean something else`, async () => {
        for (const kind of KINDS) {
          for (const secret of hidden()) {
            for (const encode of Object.values(ENCODINGS)) {
              const type = name === 'Content-Type' ? 'application/xml; x=' : ''
              const headers = [`${name}: ${type}"${encode(secret)}"`]
              const from = as.arrived.length
              assertRefusal(lab, await ue.request('PUT', own(kind), { headers, body: '<a/>' }), {
                status: 403,
                code: 'UT_IDENTITY_NOT_WITHHELD',
              })
              assert.equal(as.arrived.length, from)
            }
          }
        }
      })
    }

    const places: Readonly<Record<string, (text: string) => string>> = {
      'the document name': (text) => text,
      'the node selector': (text) => `index/~~/list%5B@name=%22${text}%22%5D`,
      'the query': (text) => `index?x=${text}`,
    }
    for (const [place, put] of Object.entries(places)) {
      test(`in ${place}: refused`, async () => {
        const codes = new Map<string, number>()
        const from = as.arrived.length
        for (const kind of KINDS) {
          for (const secret of hidden()) {
            for (const [encoding, encode] of Object.entries(ENCODINGS)) {
              // What does not fit a target as it is goes in as an escape.
              const text = encode(secret).replace(/[/+=]/g, (octet) =>
                octet === '/' ? '_' : encodeURIComponent(octet),
              )
              const target = own(kind, put(text))
              const { status } = await ue.request('GET', target)
              const { record } = lab.decisions.findLast(({ event }) => event === 'ut.refused') ?? assert.fail()
              assert.notEqual(status, 200, `${encoding}: ${target}`)
              codes.set(record.code ?? '', (codes.get(record.code ?? '') ?? 0) + 1)
            }
          }
        }
        assert.equal(as.arrived.length, from)
        // Needless and double escapes are refused sooner, whatever they hide.
        codes.delete('UT_TARGET_AMBIGUOUS')
        assert.deepEqual([...codes.keys()], ['UT_IDENTITY_NOT_WITHHELD'])
        assert.ok((codes.get('UT_IDENTITY_NOT_WITHHELD') ?? 0) > 50, `${codes.get('UT_IDENTITY_NOT_WITHHELD')}`)
      })
    }

    test('in a request that asks for two of its identities: refused, unless both are one pseudonym', async () => {
      const headers = [`X-3GPP-Intended-Identity: "${telOf('alice')}"`]
      const [external, pairwise] = KINDS
      if (!external || !pairwise) assert.fail()
      await assertRefused(lab, () => ue.request('GET', own(external), { headers }), {
        status: 403,
        code: 'UT_IDENTITY_NOT_WITHHELD',
      })
      const from = as.arrived.length
      assert.equal((await ue.request('GET', own(pairwise), { headers })).status, 200)
      assertWithheld(from, [...identitiesOf('alice'), ue.btid], 'pairwise')
    })

    test('in a request for the tree of another subscriber who has a pseudonym there: refused', () =>
      assertRefused(lab, () => ue.request('GET', `/pair/resource-lists/users/${impuOf('bob')}/index`), {
        status: 403,
        code: 'UT_IDENTITY_NOT_WITHHELD',
      }))
  })

  test('is told one pseudonym of a subscriber, in every bootstrap and for every identity, and of no other', async () => {
    const told = async (name: LabSubscriber, xui: string) => {
      const ue = await handUe(lab, { name })
      assert.equal((await ue.request('GET', `/pair/resource-lists/users/${xui}/index`)).status, 200)
      const head = as.arrived.at(-1)?.head ?? ''
      const named = [...head.matchAll(/^(?:x-3gpp-(?:asserted|intended)|x-xcap-asserted|p-asserted)-identity: (.*)$/gm)]
      assert.ok(named.length >= 3)
      const [one, ...more] = new Set(named.map(([, value = '']) => value.replace(/^["<]|[">]$/g, '')))
      assert.deepEqual(more, [])
      assert.match(one ?? '', /^sip:[a-z2-7]{32}@pseudonym\.invalid$/)
      assert.ok(head.startsWith(`GET /pair/resource-lists/users/${one}/index `))
      return one
    }
    const names = [
      await told('alice', impuOf('alice')),
      await told('alice', telOf('alice')),
      await told('alice', impuOf('alice')),
    ]
    assert.equal(new Set(names).size, 1)
    assert.notEqual(await told('bob', impuOf('bob')), names[0])
  })

  test('is what these searches would find something in: an encoding is found wherever it stands', () => {
    for (const secret of [...identitiesOf('carol'), 'QUJDREVGR0hJSktMTU5PUA==@bsf.example.org']) {
      const runs = runsOf(secret)
      for (const [i, encode] of Object.values(ENCODINGS).entries()) {
        assert.ok(`a=${encode(secret)};b`.toLowerCase().includes(runs[i] ?? assert.fail()))
        assert.ok((runs[i]?.length ?? 0) >= 10)
      }
    }
  })
})
