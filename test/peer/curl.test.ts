import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe } from 'node:test'
import { fileURLToPath } from 'node:url'
import { toBase64 } from '../../src/core/bytes.ts'
import { UA_HTTP_DIGEST, uaProtocolIdOfSuite } from '../../src/core/naf-id.ts'
import { impuOf, LAB_NAF, LAB_SECOND_NAF } from '../../src/lab.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { peerTest } from '../support/peer.ts'
import { run } from '../support/programs.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
/** No proxy and no .curlrc of whoever runs the tests. */
const ENV = { PATH: process.env.PATH }
const DOCUMENT = `/resource-lists/users/${impuOf('alice')}/index`
const LIST = `<?xml version="1.0" encoding="UTF-8"?>
<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"><list name="it's friends &amp; co"/></resource-lists>
`
const IS_LIST = ['-H', 'Content-Type: application/resource-lists+xml']

/** What the listener takes first. */
const FIRST_SUITES = [
  {
    version: 'TLSv1.2',
    cipher: 'ECDHE-ECDSA-AES128-GCM-SHA256',
    suite: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
  },
  { version: 'TLSv1.3', cipher: 'TLS_AES_128_GCM_SHA256', suite: 'TLS_AES_128_GCM_SHA256' },
] as const

interface User {
  readonly btid: string
  readonly password: string
}

/** curl against the AP of this lab: exit code, body, and for each transfer its status and new connections. */
async function curl(lab: TestLab, { btid, password }: User, ...words: readonly string[]) {
  const args = [
    ...['-sS', '-v', '--digest', '-u', `${btid}:${password}`, '--cacert', join(lab.directory, 'certs', 'ca.pem')],
    ...[LAB_NAF, LAB_SECOND_NAF].flatMap((naf) => [
      '--connect-to',
      `${naf}:443:127.0.0.1:${lab.app.addresses.ap?.port}`,
    ]),
    ...['-w', '%{stderr}\ntransfer %{http_code} %{num_connects}\n'],
  ]
  const { status, stdout, stderr } = await run('curl', [...args, ...words], { env: ENV })
  const transfers = [...stderr.matchAll(/^transfer (\d{3}) (\d+)$/gm)]
  return {
    exit: status,
    body: stdout,
    statuses: transfers.map(([, code]) => Number(code)),
    connections: transfers.reduce((sum, [, , count]) => sum + Number(count), 0),
    /** Digest algorithms of the credentials it sent. */
    algorithms: [...stderr.matchAll(/^> Authorization: Digest .*\balgorithm=([\w-]+)/gm)].map(([, name]) => name),
    challenges: [...stderr.matchAll(/^< HTTP\/1\.1 401 /gm)].length,
    log: stderr,
  }
}

/** alice after a bootstrap, with the key for this suite. */
async function userOf(lab: TestLab, suite: string): Promise<User> {
  const { btid, ksNaf } = await (await lab.ue('alice')).bootstrap()
  const id = uaProtocolIdOfSuite(suite) ?? assert.fail(`no identifier for ${suite}`)
  return { btid, password: toBase64(ksNaf(LAB_NAF, id).expose(32)) }
}

/** curl negotiates this suite and no other: Ks_NAF is made for it. */
function pinned(version: string, cipher: string): string[] {
  return version === 'TLSv1.3' ? ['--tls13-ciphers', cipher] : ['--tls-max', '1.2', '--ciphers', cipher]
}

describe('curl, with the B-TID and key that our UE obtained,', () => {
  for (const [offered, taken, { version, cipher, suite }] of [
    [['MD5'], 'MD5', FIRST_SUITES[0]],
    [['MD5'], 'MD5', FIRST_SUITES[1]],
    [['SHA-256'], 'SHA-256', FIRST_SUITES[0]],
    [['SHA-256'], 'SHA-256', FIRST_SUITES[1]],
    [['SHA-256', 'MD5'], 'SHA-256', FIRST_SUITES[1]],
  ] as const) {
    const name = `puts, gets and deletes a document where the AP offers ${offered.join(' and ')}, in ${version}`
    peerTest(name, ['curl'], async (t) => {
      const lab = await testLab({ ap: { challenge: { algorithms: offered } } })
      t.after(() => lab.close())
      const file = join(lab.directory, 'list.xml')
      await writeFile(file, LIST)
      const url = lab.url(DOCUMENT)
      const user = await userOf(lab, suite)
      const does = async (status: number, ...words: string[]) => {
        const done = await curl(lab, user, ...pinned(version, cipher), ...words, url)
        assert.deepEqual([done.exit, done.statuses, done.algorithms, done.challenges], [0, [status], [taken], 1])
        return done
      }
      await does(404)
      await does(201, '-T', file, ...IS_LIST)
      assert.equal((await does(200)).body, LIST)
      await does(200, '-X', 'PUT', '--data-binary', `@${file}`, ...IS_LIST)
      const got = await does(200, '-i')
      const etag = /^etag: (.*)$/im.exec(got.body)?.[1]?.trim() ?? ''
      assert.equal((await does(304, '-H', `If-None-Match: ${etag}`)).body, '')
      await does(412, '-X', 'DELETE', '-H', 'If-Match: "other"')
      await does(200, '-X', 'DELETE')
      await does(404)
    })
  }

  describe('in one lab', () => {
    let lab: TestLab
    before(async () => {
      lab = await testLab()
    })
    after(() => lab.close())

    for (const [version, cipher, suite] of [
      ['TLSv1.2', 'ECDHE-ECDSA-AES128-GCM-SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
      ['TLSv1.2', 'ECDHE-ECDSA-AES256-GCM-SHA384', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'],
      ['TLSv1.2', 'ECDHE-ECDSA-CHACHA20-POLY1305', 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256'],
      ['TLSv1.3', 'TLS_AES_128_GCM_SHA256', 'TLS_AES_128_GCM_SHA256'],
      ['TLSv1.3', 'TLS_AES_256_GCM_SHA384', 'TLS_AES_256_GCM_SHA384'],
      ['TLSv1.3', 'TLS_CHACHA20_POLY1305_SHA256', 'TLS_CHACHA20_POLY1305_SHA256'],
    ] as const) {
      peerTest(`is known under the key of ${suite}, and under no other suite`, ['curl'], async () => {
        const id = uaProtocolIdOfSuite(suite)
        const user = await userOf(lab, suite)
        const right = await curl(lab, user, ...pinned(version, cipher), lab.url(DOCUMENT))
        assert.deepEqual([right.exit, right.statuses], [0, [404]])
        assert.match(right.log, new RegExp(`SSL connection using ${version} / ${cipher}\n`))
        assert.equal(lab.decisions.findLast(({ event }) => event === 'ut.forwarded')?.record.uaProtocolId, id)

        const other = cipher.includes('CHACHA20') ? 'ECDHE-ECDSA-AES128-GCM-SHA256' : 'ECDHE-ECDSA-CHACHA20-POLY1305'
        const wrong = await curl(lab, user, ...pinned('TLSv1.2', other), lab.url(DOCUMENT))
        assert.deepEqual(wrong.statuses, [401])
        assert.equal(lab.decisions.at(-1)?.record.code, 'UA_RESPONSE_WRONG')
      })
    }

    peerTest('is known under the key that our UE gives for its own suite', ['curl'], async () => {
      const user = await (await lab.ue('alice')).credentials(lab.url(DOCUMENT))
      const { version = '', cipher = '' } = user.connection.tls ?? {}
      assert.deepEqual((await curl(lab, user, ...pinned(version, cipher), lab.url(DOCUMENT))).statuses, [404])
    })

    peerTest('is known under the key for HTTP Digest whatever the suite', ['curl'], async () => {
      const user = await (await lab.ue('alice', { uaId: UA_HTTP_DIGEST })).credentials(lab.url(DOCUMENT))
      for (const suite of [[], pinned('TLSv1.2', 'ECDHE-ECDSA-AES256-GCM-SHA384')]) {
        assert.deepEqual((await curl(lab, user, ...suite, lab.url(DOCUMENT))).statuses, [404])
      }
    })

    peerTest('fetches several URLs in one process over one connection', ['curl'], async () => {
      const user = await (await lab.ue('alice', { uaId: UA_HTTP_DIGEST })).credentials(lab.url(DOCUMENT))
      const urls = [lab.url(DOCUMENT), lab.url('/xcap-caps/global/index'), lab.url(DOCUMENT)]
      const done = await curl(lab, user, ...urls)
      assert.deepEqual([done.exit, done.statuses, done.connections], [0, [404, 200, 404], 1])
    })

    peerTest('is refused with the key of another NAF name', ['curl'], async () => {
      const user = await (await lab.ue('alice', { uaId: UA_HTTP_DIGEST })).credentials(lab.url(DOCUMENT))
      assert.deepEqual((await curl(lab, user, `https://${LAB_SECOND_NAF}${DOCUMENT}`)).statuses, [401])
    })

    peerTest('is refused the tree of somebody else', ['curl'], async () => {
      const user = await (await lab.ue('bob', { uaId: UA_HTTP_DIGEST })).credentials(lab.url(DOCUMENT))
      assert.deepEqual((await curl(lab, user, lab.url(DOCUMENT))).statuses, [403])
    })
  })

  peerTest('does what the line of --print-curl says, run by bash as it is', ['curl', 'bash'], async (t) => {
    const lab = await testLab()
    t.after(() => lab.close())
    const file = join(lab.directory, 'list.xml')
    await writeFile(file, LIST)
    const url = lab.url(DOCUMENT)
    const element = `${url}/~~/resource-lists/list%5B@name=%22it's%20friends%20&amp;%20co%22%5D`
    const sim = ['--sim', join(lab.directory, 'sims', 'alice.yaml')]

    const does = async (status: number, ...words: string[]) => {
      const printed = await run(process.execPath, [MAIN, 'ue', ...sim, '--print-curl', ...words])
      assert.equal(printed.status, 0, printed.stderr)
      const done = await run('bash', ['-c', printed.stdout], { env: ENV })
      assert.equal(done.status, 0, done.stderr)
      const last = lab.decisions.findLast(({ event }) => event === 'ut.forwarded' || event === 'ut.refused')
      assert.deepEqual([last?.event, last?.record.status], ['ut.forwarded', status], printed.stdout)
      return done.stdout
    }
    await does(404, url)
    await does(201, '-T', file, url)
    assert.equal(await does(200, url), LIST)
    await does(200, '-X', 'PUT', '--data-binary', `@${file}`, '--intended-identity', impuOf('alice'), url)
    assert.match(await does(200, element), /^<list name="it's friends &amp; co"\/>$/)
    assert.match(await does(200, '-I', url), /^etag: /im)
    await does(412, '-X', 'DELETE', '-H', 'If-Match: "other"', url)
    await does(200, '-X', 'DELETE', url)
    await does(404, url)
    assert.equal(lab.app.audit.count('zh.av-drawn'), 1)
    assert.match(await readFile(join(lab.directory, 'sims', 'alice.state.json'), 'utf8'), /"btid"/)
  })
})
