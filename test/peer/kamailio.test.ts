import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe } from 'node:test'
import { parse } from 'yaml'
import { impuOf } from '../../src/lab.ts'
import type { Ue, UeRequestOptions } from '../../src/ue/flow.ts'
import { KAMAILIO_PROGRAMS, type Kamailio, kamailio } from '../support/kamailio.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { findProgram, peerTest } from '../support/peer.ts'

/** What deploy/README.md tells an operator to write. */
const [, SNIPPET = ''] =
  /^```yaml\n(appServers:\n[^`]+)^```$/m.exec(
    readFileSync(new URL('../../deploy/README.md', import.meta.url), 'utf8'),
  ) ?? []
const { appServers, routes } = parse(SNIPPET) as { appServers: object[]; routes: object[] }

const documentOf = (xui: string) => `/xcap-root/resource-lists/users/${xui}/index`
const ALICE = impuOf('alice')
const ALICE_TEL = 'tel:+15550100001'
const BOB = impuOf('bob')
const TYPE = 'application/resource-lists+xml'
const ENTRIES = ['sip:bill@example.com', 'sip:petri@example.com']
const LIST = `<?xml version="1.0" encoding="UTF-8"?>
<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists">
 <list name="friends">${ENTRIES.map((uri) => `<entry uri="${uri}"/>`).join('')}</list>
</resource-lists>
`

describe('behind the proxy, Kamailio', () => {
  let xdms: Kamailio
  let lab: TestLab
  let deciding: TestLab
  before(async () => {
    if (KAMAILIO_PROGRAMS.some((program) => findProgram(program) === undefined)) return
    xdms = await kamailio()
    lab = await labWith()
    deciding = await labWith('as-decides')
  })
  after(async () => {
    await Promise.all([lab?.close(), deciding?.close()])
    await xdms?.close()
  })

  function labWith(ownership?: string): Promise<TestLab> {
    return testLab({
      as: null,
      ap: {
        appServers: appServers.map((server) => ({ ...server, url: xdms.url })),
        routes: routes.map((route) => ({ ...route, ...(ownership && { ownership }) })),
      },
    })
  }

  const put = (ue: Ue, path: string, body: string, options: UeRequestOptions = {}) =>
    ue.request('PUT', lab.url(path), { ...options, body, headers: { 'Content-Type': TYPE, ...options.headers } })

  for (const qop of ['auth', 'auth-int'] as const) {
    peerTest(`keeps a document from PUT to DELETE, under ${qop}`, KAMAILIO_PROGRAMS, async () => {
      const ue = await lab.ue('alice')
      const url = lab.url(documentOf(ALICE))
      assert.equal((await ue.request('GET', url, { qop })).status, 404)
      const made = await put(ue, documentOf(ALICE), LIST, { qop })
      // measured: it answers 200 where RFC 4825 clause 8.2.1 wants 201
      assert.ok([200, 201].includes(made.status), `${made.status}`)
      const got = await ue.request('GET', url, { qop })
      assert.deepEqual([got.status, got.text(), got.header('content-type')], [200, LIST, TYPE])
      assert.match(got.header('etag') ?? '', /^"[^"]+"$/)
      assert.equal(got.header('etag'), made.header('etag'))
      for (const answer of [made, got]) assert.equal(answer.rspauth, 'verified')
      assert.equal((await ue.request('DELETE', url, { qop })).status, 200)
      assert.equal((await ue.request('GET', url, { qop })).status, 404)
    })
  }

  peerTest(
    'refuses a change under an old ETag with 412, and takes the one under its own',
    KAMAILIO_PROGRAMS,
    async () => {
      const ue = await lab.ue('alice')
      const url = lab.url(documentOf(ALICE))
      const etag = (await put(ue, documentOf(ALICE), LIST)).header('etag') ?? ''
      const under = (tag: string) => ({ headers: { 'If-Match': tag } })
      assert.equal((await put(ue, documentOf(ALICE), LIST.replace('bill', 'lisa'), under('"old"'))).status, 412)
      assert.equal((await ue.request('DELETE', url, under('"old"'))).status, 412)
      assert.equal((await ue.request('GET', url)).text(), LIST)
      const changed = await put(ue, documentOf(ALICE), LIST.replace('bill', 'lisa'), under(etag))
      assert.equal(changed.status, 200)
      assert.notEqual(changed.header('etag'), etag)
      assert.equal((await ue.request('DELETE', url, under(etag))).status, 412)
      assert.equal((await ue.request('DELETE', url, under(changed.header('etag') ?? ''))).status, 200)
    },
  )

  for (const [name, brackets] of [
    ['escaped', '%5B@name=%22friends%22%5D'],
    ['as they read', '[@name=%22friends%22]'],
  ] as const) {
    peerTest(`gives one element by a selector without prefixes, brackets ${name}`, KAMAILIO_PROGRAMS, async () => {
      const ue = await lab.ue('alice')
      const selected = `${documentOf(ALICE)}/~~/resource-lists/list${brackets}`
      await put(ue, documentOf(ALICE), LIST)
      const entry = await ue.request('GET', lab.url(`${selected}/entry%5B2%5D`))
      assert.deepEqual([entry.status, entry.text()], [200, `<entry uri="${ENTRIES[1]}"/>`])
      const none = await ue.request('GET', lab.url(`${selected}/entry%5B3%5D`))
      assert.equal(none.status, 404)
    })
  }

  peerTest('puts and deletes one element', KAMAILIO_PROGRAMS, async () => {
    const ue = await lab.ue('alice')
    const list = `${documentOf(ALICE)}/~~/resource-lists/list%5B@name=%22friends%22%5D`
    const isElement = { headers: { 'Content-Type': 'application/xcap-el+xml' } }
    const uris = async () => {
      const { body } = await ue.request('GET', lab.url(documentOf(ALICE)))
      return [
        ...Buffer.from(body)
          .toString()
          .matchAll(/uri="([^"]+)"/g),
      ].map(([, uri]) => uri)
    }
    await put(ue, documentOf(ALICE), LIST)
    const made = await put(
      ue,
      `${list}/entry%5B@uri=%22sip:carol@example.com%22%5D`,
      '<entry uri="sip:carol@example.com"/>',
      isElement,
    )
    assert.equal(made.status, 200)
    assert.deepEqual(await uris(), [...ENTRIES, 'sip:carol@example.com'])
    const gone = await ue.request('DELETE', lab.url(`${list}/entry%5B@uri=%22${ENTRIES[0]}%22%5D`))
    assert.equal(gone.status, 200)
    assert.deepEqual(await uris(), [ENTRIES[1], 'sip:carol@example.com'])
  })

  peerTest('takes and gives 65,000 octets, and answers 413 to more', KAMAILIO_PROGRAMS, async () => {
    const ue = await lab.ue('alice')
    const padded = (octets: number) =>
      LIST.replace('</resource-lists>', `<!--${'x'.repeat(octets - LIST.length - 7)}--></resource-lists>`)
    const largest = padded(65_000)
    assert.equal(largest.length, 65_000)
    assert.equal((await put(ue, documentOf(ALICE), largest)).status, 200)
    assert.equal((await put(ue, documentOf(ALICE), padded(65_001))).status, 413)
    assert.equal((await ue.request('GET', lab.url(documentOf(ALICE)))).text(), largest)
  })

  peerTest('is not sent HEAD, which it does not know', KAMAILIO_PROGRAMS, async () => {
    const ue = await lab.ue('alice')
    assert.equal((await ue.request('HEAD', lab.url(documentOf(ALICE)))).status, 405)
    assert.equal(lab.decisions.at(-1)?.record.code, 'UT_METHOD_NOT_ALLOWED')
  })

  peerTest('has a tree for each identity of the subscriber', KAMAILIO_PROGRAMS, async () => {
    const ue = await lab.ue('alice')
    const other = LIST.replace('friends', 'by number')
    await put(ue, documentOf(ALICE), LIST)
    assert.equal((await put(ue, documentOf(ALICE_TEL), other)).status, 200)
    assert.equal((await ue.request('GET', lab.url(documentOf(ALICE_TEL)))).text(), other)
    assert.equal((await ue.request('GET', lab.url(documentOf(ALICE)))).text(), LIST)
  })

  peerTest('is not asked for the tree of somebody else: the proxy refuses it', KAMAILIO_PROGRAMS, async () => {
    const ue = await lab.ue('alice')
    const forwarded = lab.app.audit.count('ut.forwarded')
    for (const method of ['GET', 'DELETE']) {
      assert.equal((await ue.request(method, lab.url(documentOf(BOB)))).status, 403)
    }
    assert.equal((await put(ue, documentOf(BOB), LIST)).status, 403)
    assert.equal(lab.decisions.at(-1)?.record.code, 'UT_TREE_NOT_OWNED')
    assert.equal(lab.app.audit.count('ut.forwarded'), forwarded)
  })

  describe('where the proxy leaves ownership to the AS,', () => {
    const last = () => deciding.decisions.at(-1)

    peerTest('refuses the tree of somebody else itself, by the asserted identity', KAMAILIO_PROGRAMS, async () => {
      const [alice, bob] = [await deciding.ue('alice'), await deciding.ue('bob')]
      assert.equal((await put(bob, documentOf(BOB), LIST)).status, 200)
      for (const answer of [
        await alice.request('GET', deciding.url(documentOf(BOB))),
        await put(alice, documentOf(BOB), LIST.replace('bill', 'eve')),
        await alice.request('DELETE', deciding.url(documentOf(BOB))),
      ]) {
        assert.equal(answer.status, 403)
        assert.deepEqual([last()?.event, last()?.record.status], ['ut.forwarded', 403])
      }
      assert.match(xdms.log(), /refused: DELETE/)
      assert.equal((await bob.request('GET', deciding.url(documentOf(BOB)))).text(), LIST)
    })

    peerTest('knows the subscriber by any identity, or only by the intended one', KAMAILIO_PROGRAMS, async () => {
      const ue = await deciding.ue('alice')
      const status = async (intendedIdentity?: string) => {
        const options = intendedIdentity === undefined ? {} : { intendedIdentity }
        return (await ue.request('DELETE', deciding.url(documentOf(ALICE_TEL)), options)).status
      }
      await put(ue, documentOf(ALICE_TEL), LIST)
      assert.equal(await status(ALICE), 403)
      assert.deepEqual(last()?.record.impus, [ALICE])
      assert.equal(await status(), 200)
      assert.deepEqual(last()?.record.impus, [ALICE_TEL, ALICE])
      await put(ue, documentOf(ALICE_TEL), LIST)
      assert.equal(await status(ALICE_TEL), 200)
    })

    peerTest('refuses an identity that comes by another way than the proxy', KAMAILIO_PROGRAMS, async () => {
      const status = async (headers: Record<string, string>) =>
        (await fetch(`${xdms.url}${documentOf(BOB)}`, { headers })).status
      assert.equal(await status({}), 401)
      assert.equal(await status({ 'P-Asserted-Identity': `<${BOB}>` }), 401)
      assert.equal(await status({ 'X-3GPP-Asserted-Identity': BOB }), 403)
      assert.equal(await status({ 'X-3GPP-Asserted-Identity': `"${BOB}x"` }), 403)
      assert.equal(await status({ 'X-3GPP-Asserted-Identity': `"sip:a,${BOB}"` }), 403)
    })
  })
})
