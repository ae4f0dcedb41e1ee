import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ALICE, BOB, throughEveryDoor, treeOf } from '../support/attacked.ts'

// `Connection` names a header, so that whoever takes hop-by-hop headers away takes the proxy's own with them.
const OURS = [
  'X-3GPP-Asserted-Identity',
  'x-3gpp-asserted-identity',
  'X-3GPP-Authorization-Flags',
  'X-Request-ID',
  'Host',
  'Content-Length',
  'Authorization',
]

throughEveryDoor('Connection naming a header of ours', (attack) => {
  const own = treeOf(ALICE)
  for (const name of OURS) {
    test(`${name}: it is written all the same`, async () => {
      for (const headers of [
        [`Connection: ${name}`],
        [`Connection: close, ${name}`],
        [`Connection: close,${name} ,\t${name.toUpperCase()}`],
        ['Connection: close', `Connection: ${name}`],
        [`Proxy-Connection: ${name}`],
        [`Keep-Alive: ${name}`, 'Connection: Keep-Alive'],
      ]) {
        const { rawHeaders, body } = await attack.letsThroughAsAlice('PUT', own, { headers, body: '<a/>' })
        const names = rawHeaders.filter((_, i) => i % 2 === 0).map((each) => each.toLowerCase())
        for (const ours of ['host', 'content-length', 'x-request-id']) assert.ok(names.includes(ours), ours)
        assert.equal(body.toString(), '<a/>')
      }
    })
  }

  test('cannot take the intended identity away before it is checked', () =>
    attack.refuses(['UT_IMPU_NOT_OWNED'], 'GET', own, {
      headers: [`X-3GPP-Intended-Identity: "${BOB}"`, 'Connection: X-3GPP-Intended-Identity'],
    }))
  test('cannot hide an asserted identity from the check', () =>
    attack.refuses(['UT_IDENTITY_HEADER_FORBIDDEN'], 'GET', own, {
      headers: [`X-3GPP-Asserted-Identity: "${BOB}"`, 'Connection: X-3GPP-Asserted-Identity, close'],
    }))
  test('cannot take a precondition away in silence from the request that the UE made, but of its own will', async () => {
    const { rawHeaders } = await attack.letsThroughAsAlice('PUT', own, {
      headers: ['If-Match: "v1"', 'X-Hop: 1', 'Connection: X-Hop'],
      body: '<a/>',
    })
    const names = rawHeaders.map((each) => each.toLowerCase())
    assert.ok(names.includes('if-match') && !names.includes('x-hop'))
  })
})
