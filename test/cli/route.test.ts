import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { inProcess } from '../support/in-process.ts'

const directory = mkdtempSync(join(tmpdir(), 'gba-route-'))
after(() => rmSync(directory, { recursive: true }))

const CONFIG = join(directory, 'gba.yaml')
writeFileSync(
  CONFIG,
  `ap:
  tls: { certificateFile: ap.pem, keyFile: ap.key }
  nafs: [{ fqdn: xcap.example.org, uaProtocolIds: ['0100000002'] }, { fqdn: lists.example.org }]
  zn: { adapter: http, url: 'https://bsf.example', caFile: ca.pem, certificateFile: zn.pem, keyFile: zn.key }
  appServers:
    - { name: mmtel, url: 'http://127.0.0.1:8086', assert: all, identityHeader: [P-Asserted-Identity] }
    - { name: lists, url: 'http://127.0.0.1:8087', xcapRoot: /root, hostHeader: upstream }
    - { name: xdms, url: 'http://127.0.0.1:8085' }
  routes:
    - { appServer: mmtel, pathPrefix: /simservs.ngn.etsi.org, ownership: owner-write, methods: [GET, PUT] }
    - { appServer: lists, host: lists.example.org, pathPrefix: /root }
    - { appServer: xdms, host: xcap.example.org, ownershipByAuid: { Open-Usage: as-decides } }
`,
)
writeFileSync(join(directory, 'as.yaml'), 'as: {}\n')

const ALICE = 'sip:alice@example.org'
const INDEX = `https://xcap.example.org/resource-lists/users/${ALICE}/index`

const route = (...args: string[]) => inProcess(['route', '--config', CONFIG, ...args])
const lineOf = (text: string, step: string) => new RegExp(`^${step} +(.*)$`, 'm').exec(text)?.[1]

describe('gba-proxy route', () => {
  test('says NAF, route, server, rule and what would be sent', async () => {
    const { code, stdout } = await route(
      '-H',
      'Content-Type: text/plain',
      '-H',
      'Cookie: a=b',
      '--flag',
      '7',
      'PUT',
      INDEX,
    )
    assert.equal(code, 0)
    assert.match(lineOf(stdout, 'NAF') ?? '', /^xcap\.example\.org.*0100000002/)
    assert.match(lineOf(stdout, 'route') ?? '', /^3 of 3/)
    assert.match(lineOf(stdout, 'server') ?? '', /^xdms at http:\/\/127\.0\.0\.1:8085/)
    assert.match(lineOf(stdout, 'rule') ?? '', /^owner:.*3, 2/)
    const [, message = ''] = stdout.split('\n\n')
    const [start, ...fields] = message.split('\n')
    assert.equal(start, `PUT /resource-lists/users/${ALICE}/index HTTP/1.1`)
    assert.deepEqual(fields.filter((field) => !field.startsWith('x-request-id')).toSorted(), [
      'content-type: text/plain',
      'host: xcap.example.org',
      `x-3gpp-asserted-identity: "${ALICE}"`,
      'x-3gpp-authorization-flags: "7"',
    ])
    assert.equal(lineOf(stdout, 'dropped'), 'Cookie')
  })

  test('asserts in the form of the server, and what the subscriber has', async () => {
    const url = 'https://xcap.example.org/simservs.ngn.etsi.org/users/tel:+1555/simservs.xml'
    const { stdout } = await route('--uid', 'tel:+1555', '--uid', ALICE, 'GET', url)
    assert.match(lineOf(stdout, 'server') ?? '', /^mmtel/)
    assert.match(stdout, new RegExp(`^p-asserted-identity: <tel:\\+1555>, <${ALICE}>$`, 'm'))
    const one = await route('--uid', 'tel:+1555', '--uid', ALICE, '--intended', ALICE, 'GET', url)
    assert.match(one.stdout, new RegExp(`^p-asserted-identity: <${ALICE}>$`, 'm'))
  })

  test('knows XCAP roots, ports and the host header of a server', async () => {
    const { code, stdout } = await route(
      'GET',
      `https://lists.example.org:8443/root/resource-lists/users/${ALICE}/index`,
    )
    assert.equal(code, 0)
    assert.match(lineOf(stdout, 'XCAP') ?? '', /^resource-lists, /)
    assert.match(stdout, /^host: 127\.0\.0\.1:8087$/m)
  })

  test('takes an exception by AUID for the rule that it is', async () => {
    const { code, stdout } = await route(
      '--uid',
      'sip:bob@example.org',
      'PUT',
      `https://xcap.example.org/open-usage/users/${ALICE}/index`,
    )
    assert.equal(code, 0)
    assert.match(lineOf(stdout, 'rule') ?? '', /^as-decides for open-usage/)
  })

  const refusals: [code: string, ...args: string[]][] = [
    ['UA_NAF_UNKNOWN', 'GET', 'https://other.example.org/'],
    ['UT_ROUTE_UNKNOWN', 'GET', 'https://lists.example.org/elsewhere/users/sip:a@b.c/index'],
    ['UT_TARGET_AMBIGUOUS', 'GET', `https://xcap.example.org/resource-lists/users/${ALICE}/%2e%2e/index`],
    ['UT_REQUEST_MALFORMED', 'GET', 'https://xcap.example.org/resource-lists/users/alice/index'],
    ['UT_METHOD_NOT_ALLOWED', 'POST', INDEX],
    ['UT_IDENTITY_HEADER_FORBIDDEN', '-H', `X_3GPP_Asserted_Identity: ${ALICE}`, 'GET', INDEX],
    ['UT_IDENTITY_MALFORMED', '--intended', 'alice', 'GET', INDEX],
    ['UT_IMPU_NOT_OWNED', '--uid', 'sip:bob@example.org', '--intended', ALICE, 'GET', INDEX],
    ['UT_TREE_NOT_OWNED', '--uid', 'sip:bob@example.org', 'GET', INDEX],
    ['UT_GLOBAL_READ_ONLY', '--uid', ALICE, 'PUT', 'https://xcap.example.org/resource-lists/global/index'],
    ['UT_USS_MISSING', 'GET', 'https://xcap.example.org/resource-lists/global/index'],
  ]
  for (const [fault, ...args] of refusals) {
    test(`says ${fault}, why, and what to do, and ends with 1`, async () => {
      const { code, stdout, stderr } = await route(...args)
      assert.deepEqual([code, stderr], [1, ''])
      assert.equal(lineOf(stdout, 'refused')?.split(':')[0], fault)
      assert.match(stdout, /^to do: \S/m)
    })
  }

  const wrong: [what: string, ...args: string[]][] = [
    ['no configuration', 'route', 'GET', INDEX],
    ['no URL', 'route', '-c', CONFIG, 'GET'],
    ['a URL that is none', 'route', '-c', CONFIG, 'GET', 'xcap'],
    ['an identity that is none', 'route', '-c', CONFIG, '--uid', 'alice', 'GET', INDEX],
    ['a header that is none', 'route', '-c', CONFIG, '-H', 'x', 'GET', INDEX],
    ['a flag that is none', 'route', '-c', CONFIG, '--flag', 'x', 'GET', INDEX],
    ['a configuration without an AP', 'route', '-c', join(directory, 'as.yaml'), 'GET', INDEX],
    ['a configuration that is not there', 'route', '-c', join(directory, 'none.yaml'), 'GET', INDEX],
  ]
  for (const [what, ...args] of wrong) {
    test(`ends with 2 for ${what}`, async () => {
      const { code, stdout, stderr } = await inProcess(args)
      assert.deepEqual([code, stdout], [2, ''])
      assert.notEqual(stderr, '')
    })
  }
})
