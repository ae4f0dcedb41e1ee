import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { impuOf } from '../../src/lab.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { type ScriptedAs, scriptedAs } from '../support/scripted-as.ts'

// Two application servers behind one AP, as strangers to each other: what one says or is told, the other never sees.
const SERVERS = ['lists', 'rules'] as const
type ServerName = (typeof SERVERS)[number]
const AUIDS: Readonly<Record<ServerName, string>> = { lists: 'resource-lists', rules: 'pres-rules' }
const SECRETS: Readonly<Record<ServerName, string>> = { lists: 'token-of-lists', rules: 'token-of-rules' }
const other = (name: ServerName): ServerName => (name === 'lists' ? 'rules' : 'lists')
const target = (name: ServerName, document = 'index') => `/${AUIDS[name]}/users/${impuOf('alice')}/${document}`

describe('two application servers behind one AP', () => {
  const servers = new Map<ServerName, ScriptedAs & { readonly sockets: Set<Socket> }>()
  let lab: TestLab
  let ue: HandUe
  before(async () => {
    for (const name of SERVERS) {
      const sockets = new Set<Socket>()
      const as = await scriptedAs((socket) => {
        sockets.add(socket)
        const fields = [
          'HTTP/1.1 200 OK',
          `Set-Cookie: session=cookie-of-${name}; Path=/`,
          `Set-Cookie2: session=cookie-of-${name}`,
          `ETag: "etag-of-${name}"`,
          'Cache-Control: public, max-age=3600',
          `Content-Length: ${name.length}`,
        ]
        socket.write(`${fields.join('\r\n')}\r\n\r\n${name}`)
      })
      servers.set(name, Object.assign(as, { sockets }))
    }
    lab = await testLab({
      as: null,
      ap: {
        appServers: SERVERS.map((name) => ({
          name,
          url: at(name).url,
          trust: 'external',
          pseudonym: 'pairwise',
          fixedHeaders: { [`X-Token-${name}`]: SECRETS[name] },
        })),
        routes: [
          { pathPrefix: '/pres-rules', appServer: 'rules' },
          { pathPrefix: '/', appServer: 'lists' },
        ],
      },
    })
    ue = await handUe(lab)
  })
  after(async () => {
    await lab.close()
    for (const as of servers.values()) await as.close()
  })
  const at = (name: ServerName) => servers.get(name) ?? assert.fail()
  /** Everything that one of them ever got. */
  const got = (name: ServerName) => at(name).arrived.map(({ head, body }) => `${head}\r\n${body}`.toLowerCase())
  const pseudonymOf = (name: ServerName) =>
    /^x-3gpp-asserted-identity: "(sip:[a-z2-7]{32}@pseudonym\.invalid)"$/m.exec(got(name).at(-1) ?? '')?.[1] ??
    assert.fail(got(name).at(-1))

  test('each get their own requests, and no others', async () => {
    for (const name of [...SERVERS, ...SERVERS]) {
      const before = [at('lists').arrived.length, at('rules').arrived.length]
      const answer = await ue.request('GET', target(name))
      assert.deepEqual([answer.status, answer.body.toString()], [200, name])
      const mine = name === 'lists' ? [1, 0] : [0, 1]
      assert.deepEqual(
        [at('lists').arrived.length, at('rules').arrived.length],
        [(before[0] ?? 0) + (mine[0] ?? 0), (before[1] ?? 0) + (mine[1] ?? 0)],
      )
    }
    for (const name of SERVERS) for (const octets of got(name)) assert.ok(octets.startsWith(`get /${AUIDS[name]}/`))
  })

  test('see their own fixed header in every request, and never the other one, even where the UE sends it', async () => {
    for (const name of SERVERS) {
      const headers = [`X-Token-${other(name)}: forged`, `X-Token-${name}: forged`, `Connection: X-Token-${name}`]
      assert.equal((await ue.request('PUT', target(name), { headers, body: '<a/>' })).status, 200)
      for (const octets of got(name)) {
        assert.match(octets, new RegExp(`^x-token-${name}: ${SECRETS[name]}\\r?$`, 'm'))
        assert.ok(!octets.includes('forged') && !octets.includes(SECRETS[other(name)]))
        assert.ok(!octets.includes(`x-token-${other(name)}`))
      }
    }
  })

  test('neither set a cookie, nor get one', async () => {
    for (const name of SERVERS) {
      const answer = await ue.request('GET', target(name))
      assert.deepEqual([answer.values('set-cookie'), answer.values('set-cookie2')], [[], []])
      assert.ok(!answer.headers.flat().some((text) => text.includes('cookie-of')))
      const headers = [`Cookie: session=cookie-of-${name}`, `Cookie2: session=cookie-of-${name}`]
      for (const to of SERVERS) assert.equal((await ue.request('GET', target(to), { headers })).status, 200)
    }
    for (const name of SERVERS) for (const octets of got(name)) assert.ok(!octets.includes('cookie'))
  })

  test('know a subscriber under names that differ, and never hear the other one', async () => {
    for (const name of SERVERS) assert.equal((await ue.request('GET', target(name))).status, 200)
    assert.notEqual(pseudonymOf('lists'), pseudonymOf('rules'))
    for (const name of SERVERS) {
      const user = pseudonymOf(other(name)).slice('sip:'.length).split('@')[0] ?? ''
      for (const octets of got(name)) assert.ok(!octets.includes(user))
    }
  })

  test('get nothing by which they could tell that two requests are of one UE', async () => {
    const fields = (name: ServerName) =>
      new Map(
        (at(name).arrived.at(-1)?.head ?? '')
          .split('\r\n')
          .slice(1)
          .map((line) => [line.split(':')[0] ?? '', line.slice(line.indexOf(':') + 1).trim()]),
      )
    for (const name of SERVERS) assert.equal((await ue.request('GET', target(name))).status, 200)
    const [lists, rules] = [fields('lists'), fields('rules')]
    const shared = [...lists].flatMap(([name, value]) => (rules.get(name) === value ? [name] : []))
    // What is the same for every UE of this make, and the name that all UEs address; the flags are of the service.
    const known = ['host', 'connection', 'user-agent', 'x-3gpp-authorization-flags']
    assert.deepEqual(
      shared.filter((name) => !known.includes(name)),
      [],
    )
    assert.notEqual(lists.get('x-request-id'), rules.get('x-request-id'))
  })

  test('have no answer in common: nothing is kept of what one of them allows to be cached', async () => {
    const before = at('lists').arrived.length
    for (let i = 0; i < 3; i++) assert.equal((await ue.request('GET', target('lists', 'cached'))).status, 200)
    assert.equal(at('lists').arrived.length, before + 3)
  })

  test('have no connection in common, however many requests come at once', async () => {
    const requests = []
    for (let i = 0; i < 20; i++) requests.push(await ue.signed('GET', target(SERVERS[i % 2] ?? 'lists', `d${i}`)))
    const answers = await Promise.all(requests.map((octets) => ue.send(octets)))
    for (const [i, answer] of answers.entries()) {
      assert.deepEqual([answer.status, answer.body.toString()], [200, SERVERS[i % 2]])
    }
    for (const name of SERVERS) assert.ok(at(name).sockets.size > 0 && at(name).sockets.size <= 64)
    for (const name of SERVERS) for (const octets of got(name)) assert.ok(octets.includes(` /${AUIDS[name]}/`))
  })

  test('are a pool each, even at one address, and within the trust domain no cookie passes either', async () => {
    const sockets: Socket[] = []
    const as = await scriptedAs((socket) => {
      if (!sockets.includes(socket)) sockets.push(socket)
      socket.write(`HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 1\r\n\r\n${sockets.indexOf(socket)}`)
    })
    const shared = await testLab({
      as: null,
      ap: {
        appServers: SERVERS.map((name) => ({ name, url: as.url, connections: 1 })),
        routes: [
          { pathPrefix: '/pres-rules', appServer: 'rules' },
          { pathPrefix: '/', appServer: 'lists' },
        ],
      },
    })
    try {
      const hand = await handUe(shared)
      const over = new Map(SERVERS.map((name) => [name, new Set<string>()]))
      for (let i = 0; i < 6; i++) {
        const name = SERVERS[i % 2] ?? 'lists'
        const headers = ['Cookie: a=b', 'Cookie2: a=b', 'cookie: a=b']
        const answer = await hand.request('GET', target(name), { headers })
        assert.deepEqual(answer.values('set-cookie'), [])
        over.get(name)?.add(answer.body.toString())
      }
      const [lists, rules] = [...over.values()]
      assert.deepEqual([lists?.size, rules?.size], [1, 1])
      assert.notDeepEqual(lists, rules)
      for (const { head } of as.arrived) assert.doesNotMatch(head, /cookie/i)
    } finally {
      await shared.close()
      await as.close()
    }
  })
})
