import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ALICE, BOB, throughEveryDoor, treeOf } from '../support/attacked.ts'

// The tree of another user, in every way in which a server might come to read it.
const REFUSALS = ['UT_TREE_NOT_OWNED', 'UT_TARGET_AMBIGUOUS', 'UT_REQUEST_MALFORMED'] as const
const hexed = (text: string) =>
  [...Buffer.from(text)].map((octet) => `%${octet.toString(16).padStart(2, '0')}`).join('')
const ENCODINGS: Readonly<Record<string, (xui: string) => string>> = {
  'as it is': (xui) => xui,
  'with its delimiters escaped': encodeURIComponent,
  'with its delimiters escaped in lower case': (xui) => encodeURIComponent(xui).toLowerCase(),
  'with every octet escaped': hexed,
  'with every octet escaped in upper case': (xui) => hexed(xui).toUpperCase(),
  'escaped twice': (xui) => encodeURIComponent(encodeURIComponent(xui)),
  'escaped three times': (xui) => encodeURIComponent(encodeURIComponent(encodeURIComponent(xui))),
  'with one letter escaped': (xui) => xui.replace('b', '%62'),
  'with %u escapes': (xui) => xui.replace('b', '%u0062'),
  'in overlong UTF-8': (xui) => xui.replace('b', '%c1%a2'),
  'in HTML entities': (xui) => xui.replace('@', '&#64;'),
  'in base64': (xui) => Buffer.from(xui).toString('base64url'),
  'in upper case': (xui) => xui.toUpperCase(),
  'without its scheme': (xui) => xui.slice(4),
  'with parameters': (xui) => `${xui};user=phone`,
  'with a port': (xui) => `${xui}:5060`,
  'with a password': (xui) => xui.replace('@', ':x@'),
  'in brackets': (xui) => `%3C${xui}%3E`,
  'in quotation marks': (xui) => `%22${xui}%22`,
  'behind the own, with a comma': (xui) => `${ALICE},${xui}`,
  'behind the own, with an escaped slash': (xui) => `${ALICE}%2f..%2f${xui}`,
  'behind the own, with dot segments': (xui) => `${ALICE}/../${xui}`,
  'behind the own, with escaped dot segments': (xui) => `${ALICE}/%2e%2e/${xui}`,
  'behind the own, with a backslash': (xui) => `${ALICE}\\..\\${xui}`,
  'behind the own, with a NUL': (xui) => `${ALICE}%00${xui}`,
  'before the own, with a NUL': (xui) => `${xui}%00${ALICE}`,
  'before the own, as its user': (xui) => `${xui}@${ALICE.split('@')[1]}`,
  'as a path parameter of the tree': (xui) => `;x/${xui}`,
}

throughEveryDoor("another user's XUI", (attack) => {
  for (const [encoding, encode] of Object.entries(ENCODINGS)) {
    test(`${encoding}: refused, for every method`, async () => {
      for (const xui of [BOB, 'tel:+15550100002']) {
        for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
          const target = treeOf(encode(xui))
          if (method === 'HEAD') {
            // An answer to HEAD has no problem to read: what counts is that nothing got through.
            const seen = attack.lab.seen.length
            const octets = await attack.alice.signed(method, target)
            assert.ok((await attack.alice.send(octets, method)).status >= 400)
            assert.equal(attack.lab.seen.length, seen)
          } else {
            await attack.refuses(REFUSALS, method, target, method === 'PUT' ? { body: '<a/>' } : {})
          }
        }
      }
    })
  }

  if (attack.signs) {
    test('in the digest uri alone, or in the target alone: refused', async () => {
      await attack.refuses(['UA_URI_MISMATCH'], 'GET', treeOf(BOB), { uri: treeOf(ALICE) })
      await attack.refuses(['UA_URI_MISMATCH'], 'GET', treeOf(ALICE), { uri: treeOf(BOB) })
      const [bob, alice] = [treeOf(BOB), treeOf(ALICE)]
      await attack.refuses(['UA_URI_MISMATCH', 'UT_TREE_NOT_OWNED'], 'GET', bob, { uri: `${bob}/../${alice}` })
    })
  }

  test('behind the own, with a semicolon: refused, or a parameter of the own', async () => {
    await attack.refuses(REFUSALS, 'GET', treeOf(`${ALICE};${BOB}`))
    const seen = attack.lab.seen.length
    const target = treeOf(`${ALICE};tel:+15550100002`)
    assert.equal((await attack.alice.request('GET', target)).status, 200)
    const { rawHeaders, target: sent } = attack.lab.seen[seen] ?? assert.fail()
    assert.deepEqual([sent, rawHeaders[rawHeaders.indexOf('x-3gpp-asserted-identity') + 1]], [target, `"${ALICE}"`])
  })
  test('in the headers by which some servers take another path: left out', async () => {
    const names = ['X-Original-URL', 'X-Rewrite-URL', 'X-Forwarded-Path', 'X-Forwarded-Prefix', 'Destination']
    const headers = names.map((name) => `${name}: ${treeOf('sip:somebody@example.org')}`)
    const { rawHeaders } = await attack.letsThroughAsAlice('GET', treeOf(ALICE), { headers })
    assert.ok(!rawHeaders.some((text) => text.includes('somebody')))
  })
})
