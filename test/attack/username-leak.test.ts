import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { computeHa1 } from '../../src/core/digest.ts'
import { LAB_DOMAIN, LAB_NAF } from '../../src/lab.ts'
import { ALICE, treeOf } from '../support/attacked.ts'
import { doorUe, openAllDoors } from '../support/door-ue.ts'
import type { HandRequest, HandUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import type { RawAnswer } from '../support/raw-client.ts'
import { type ScriptedAs, scriptedAs } from '../support/scripted-as.ts'

// The name that goes with a password is for the proxy alone: with it, guessing could begin.
const USERNAME = 'alice@example.org'
const PASSWORD = 'another provisioned secret'

const everyOctet = (text: string) =>
  [...Buffer.from(text)].map((octet) => `%${octet.toString(16).padStart(2, '0')}`).join('')
const ENCODINGS: Readonly<Record<string, (text: string) => string>> = {
  'as it is': (text) => text,
  'in upper case': (text) => text.toUpperCase(),
  'in mixed case': (text) => text.replace(/[aeio]/g, (letter) => letter.toUpperCase()),
  'percent-encoded': encodeURIComponent,
  'percent-encoded, each octet': everyOctet,
  'percent-encoded, each octet, in upper case': (text) => everyOctet(text).toUpperCase(),
  'percent-encoded twice': (text) => encodeURIComponent(encodeURIComponent(text)),
  'percent-encoded twice, each octet': (text) => everyOctet(everyOctet(text)),
  'in base64': (text) => Buffer.from(text).toString('base64'),
  'in base64 behind one octet': (text) => Buffer.from(`x${text}`).toString('base64'),
  'in base64 behind two octets': (text) => Buffer.from(`xx${text}`).toString('base64'),
  'in base64 without padding': (text) => Buffer.from(text).toString('base64').replaceAll('=', ''),
  'in base64url': (text) => Buffer.from(text).toString('base64url'),
  'in base64 in percent-encoding': (text) => everyOctet(Buffer.from(text).toString('base64')),
  'in hexadecimal': (text) => Buffer.from(text).toString('hex'),
  'in hexadecimal, in upper case': (text) => Buffer.from(text).toString('hex').toUpperCase(),
  'in upper case, in base64': (text) => Buffer.from(text.toUpperCase()).toString('base64'),
}
const LEFT_OUT = [
  ...['Accept', 'Accept-Language', 'Cache-Control', 'Pragma', 'User-Agent', 'Referer', 'Cookie', 'From', 'X-Vendor'],
  ...['X-UE-Identity', 'X-Request-ID', 'Via'],
]
const NEEDED = ['If-Match', 'If-None-Match', 'Content-Type', 'Content-Language', 'Range']
const KINDS = [
  { prefix: '/ext', pseudonym: 'none' },
  { prefix: '/pair', pseudonym: 'pairwise' },
] as const
type Kind = (typeof KINDS)[number]
const WITHHELD = 'UT_IDENTITY_NOT_WITHHELD'

/** Servers outside the trust domain, and alice, who has a password under this username. */
async function labWithUsername(as: ScriptedAs, username: string): Promise<TestLab> {
  const nameOf = ({ prefix }: Kind) => `server${prefix.replace('/', '-')}`
  return testLab({
    as: null,
    async prepare(directory) {
      const doors = await openAllDoors(directory)
      const file = join(directory, 'ap-subscribers.yaml')
      const ha1 = computeHa1('MD5', username, LAB_NAF, Buffer.from(PASSWORD))
      const lines = (await readFile(file, 'utf8')).split('\n')
      const digest = `    digest: { username: '${username}', realm: '${LAB_NAF}', ha1: { MD5: '${ha1}' } }`
      const first = lines.findIndex((line) => line.includes('digest:'))
      await writeFile(file, lines.with(first, digest).join('\n'), { mode: 0o600 })
      return {
        ...doors,
        appServers: [
          ...KINDS.map((kind) => ({
            name: nameOf(kind),
            url: as.url,
            xcapRoot: kind.prefix,
            trust: 'external',
            pseudonym: kind.pseudonym,
          })),
          { name: 'trusted', url: as.url },
        ],
        routes: [
          ...KINDS.map((kind) => ({ pathPrefix: kind.prefix, appServer: nameOf(kind), doors: ['password'] })),
          { appServer: 'trusted', doors: ['password'] },
        ],
      }
    },
  })
}

/** What one alice does: she proves to be who has this username, and says what a test wants beside. */
async function alice(lab: TestLab, username: string) {
  const ue: HandUe = await doorUe(lab, 'password')
  const own = { username, password: PASSWORD }
  const ask = async (method: string, target: string, request: HandRequest = {}): Promise<RawAnswer> => {
    const octets = await ue.signed(method, target, { ...own, ...request })
    const asked = octets.toString('latin1')
    const hasTwoAgents = asked.match(/^User-Agent:/gim)?.length === 2
    return ue.send(hasTwoAgents ? Buffer.from(asked.replace('User-Agent: hand 3gpp-gba\r\n', ''), 'latin1') : octets)
  }
  const codeOfLast = () => lab.decisions.findLast(({ event }) => event === 'ut.refused')?.record.code
  return { ask, codeOfLast }
}

describe('a username', () => {
  let as: ScriptedAs
  let lab: TestLab
  let ue: Awaited<ReturnType<typeof alice>>
  before(async () => {
    as = await scriptedAs((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'))
    lab = await labWithUsername(as, USERNAME)
    ue = await alice(lab, USERNAME)
  })
  after(async () => {
    await lab.close()
    await as.close()
  })
  const own = ({ prefix }: Kind, rest = '') => `${prefix}${treeOf(ALICE)}${rest}`
  const sentFrom = (from: number) => as.arrived.slice(from).map(({ head }) => head.toLowerCase())

  test('of hers does not go along by itself', async () => {
    const from = as.arrived.length
    for (const kind of KINDS) assert.equal((await ue.ask('GET', own(kind))).status, 200)
    const heads = sentFrom(from)
    assert.equal(heads.length, KINDS.length)
    for (const head of heads) assert.doesNotMatch(head, /example\.org|authorization:/)
  })

  for (const [how, encode] of Object.entries(ENCODINGS)) {
    const text = encode(USERNAME)

    test(`${how} is left out, in headers that may be`, async () => {
      for (const kind of KINDS) {
        for (const value of [text, `a=${text};b`, `x "${text}" y`]) {
          const from = as.arrived.length
          const headers = LEFT_OUT.map((name) => `${name}: ${value}`)
          assert.equal((await ue.ask('GET', own(kind), { headers })).status, 200)
          const [head = '', ...more] = sentFrom(from)
          assert.ok(!head.includes(text.toLowerCase()), head)
          assert.deepEqual(more, [])
        }
      }
    })

    test(`${how} is refused, in headers that change what the request does`, async () => {
      const from = as.arrived.length
      for (const kind of KINDS) {
        for (const name of NEEDED) {
          const type = name === 'Content-Type' ? 'application/xml; x=' : ''
          const headers = [`${name}: ${type}"${text}"`]
          const { status } = await ue.ask('PUT', own(kind), { headers, body: '<a/>' })
          assert.deepEqual([status, ue.codeOfLast()], [403, WITHHELD], name)
        }
      }
      assert.equal(as.arrived.length, from)
    })

    test(`${how} is refused, in the target`, async () => {
      const from = as.arrived.length
      // What does not fit a target goes in as an escape.
      const inTarget = text.replace(/[/+=]/g, (octet) => (octet === '/' ? '_' : encodeURIComponent(octet)))
      for (const kind of KINDS) {
        for (const target of [
          own(kind).replace(/index$/, inTarget),
          own(kind, `/~~/list%5B@name=%22${inTarget}%22%5D`),
          own(kind, `?x=${inTarget}`),
        ]) {
          const { status } = await ue.ask('GET', target)
          assert.ok(status >= 400, target)
          // Needless and double escapes are refused sooner, whatever they hide.
          const code = ue.codeOfLast()
          assert.ok(
            code === WITHHELD || (inTarget.includes('%') && code === 'UT_TARGET_AMBIGUOUS'),
            `${code}: ${target}`,
          )
        }
      }
      assert.equal(as.arrived.length, from)
    })
  }

  test('does not reach a server of the trust domain in a header either, as it is or percent-encoded', async () => {
    for (const how of [
      'as it is',
      'in upper case',
      'in mixed case',
      'percent-encoded',
      'percent-encoded, each octet',
    ]) {
      const text = ENCODINGS[how]?.(USERNAME) ?? assert.fail()
      const from = as.arrived.length
      const headers = [`Accept-Language: x-${text}`, `X-Vendor: ${text}`]
      assert.equal((await ue.ask('GET', treeOf(ALICE), { headers })).status, 200)
      const [head = '', ...more] = sentFrom(from)
      assert.ok(!head.includes(text.toLowerCase()), head)
      assert.deepEqual(more, [])
    }
  })

  test('is no reason to leave out, or to refuse, what only looks like a part of it', async () => {
    for (const kind of KINDS) {
      const headers = ['Accept-Language: en, x-example.org', 'If-None-Match: "malice@example.net"']
      const from = as.arrived.length
      assert.equal((await ue.ask('GET', own(kind, '?q=example.org'), { headers })).status, 200)
      const [head = ''] = sentFrom(from)
      for (const value of ['en, x-example.org', '"malice@example.net"', '?q=example.org'])
        assert.ok(head.includes(value))
    }
  })
})

describe('a username that is the public identity without its scheme', () => {
  for (const username of [`alice@${LAB_DOMAIN}`, `Alice@${LAB_DOMAIN.toUpperCase()}`]) {
    test(`is told where the identity is told, and the requests of ${username} pass`, async () => {
      const as = await scriptedAs((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'))
      const lab = await labWithUsername(as, username)
      try {
        const { ask } = await alice(lab, username)
        for (const [method, body] of [['GET'], ['PUT', '<a/>']] as const) {
          for (const { prefix, pseudonym } of KINDS) {
            const from = as.arrived.length
            const target = `${prefix}${treeOf(ALICE)}`
            const { status } = await ask(method, target, body === undefined ? {} : { body })
            assert.equal(status, 200, `${method} ${target}`)
            const [{ head = '' } = {}, ...more] = as.arrived.slice(from)
            assert.equal(head.includes(`x-3gpp-asserted-identity: "${ALICE}"`), pseudonym === 'none')
            assert.equal(head.toLowerCase().includes(`alice@${LAB_DOMAIN}`), pseudonym === 'none')
            assert.deepEqual(more, [])
          }
        }
        // To who has a pseudonym for her, it is one of her identities like any other.
        const refused = await ask('GET', `/pair${treeOf(ALICE)}?x=${username}`)
        assert.equal(refused.status, 403)
        assert.equal(lab.decisions.findLast(({ event }) => event === 'ut.refused')?.record.code, WITHHELD)
      } finally {
        await lab.close()
        await as.close()
      }
    })
  }
})
