import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import https from 'node:https'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, describe, type TestContext, test } from 'node:test'
import { rootCertificates, type TLSSocket } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { fromHex } from '../../src/core/bytes.ts'
import type { Fqdn } from '../../src/core/identity.ts'
import { type LabPki, makeLabPki } from '../../src/tls/issue.ts'
import { peerTest } from '../support/peer.ts'
import { shows, simText } from '../ue/card.ts'
import { BSF, type FakeBsfOptions, type FakeNafOptions, fakeBsf, fakeNaf, NAF, SET_1 } from '../ue/fake-network.ts'
import { pskNaf } from '../ue/psk-naf.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

const ALICE = 'alice.example.com' as Fqdn
let pki: LabPki
before(async () => {
  pki = await makeLabPki({
    names: { bsf: [BSF], naf: [NAF], znClients: [{ name: ALICE }] },
    now: Date.now(),
    validDays: 1,
  })
})

/** Anybody's certificate: it has not signed the NAF's. */
const OTHER_CA = rootCertificates[0] ?? ''

interface Result {
  code: number | null
  stdout: string
  stderr: string
}

function run(program: string, args: string[], cwd: string, options: { stdin?: string; env?: object } = {}) {
  return new Promise<Result>((resolve, reject) => {
    const child = spawn(program, args, { cwd, env: { PATH: process.env.PATH, ...options.env } })
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', (chunk) => out.push(chunk))
    child.stderr.on('data', (chunk) => err.push(chunk))
    child.on('error', reject)
    child.on('close', (code) => {
      resolve({ code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() })
    })
    child.stdin.end(options.stdin ?? '')
  })
}

interface Setup {
  naf?: Partial<FakeNafOptions>
  bsf?: FakeBsfOptions
  https?: 'TLSv1.2' | 'TLSv1.3'
  /** The NAF speaks no TLS. */
  plain?: boolean
}

/** A folder with alice.yaml, a BSF and a NAF; `ue` runs the command there. */
async function lab(t: TestContext, { https = 'TLSv1.3', ...setup }: Setup = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'gba-ue-'))
  const bsf = await fakeBsf({ rands: [SET_1.rand], ...setup.bsf })
  const naf = await fakeNaf({
    sessions: bsf.sessions,
    ...(!setup.plain && { tls: { ...pki.ap, maxVersion: https } }),
    ...setup.naf,
  })
  writeFileSync(join(dir, 'ca.pem'), pki.ca.certificate)
  writeFileSync(join(dir, 'alice.yaml'), simText({ bsf: bsf.port, naf: naf.port }, { caFile: 'ca.pem' }))
  t.after(async () => {
    await Promise.all([bsf.close(), naf.close()])
    rmSync(dir, { recursive: true })
  })
  const raw = (args: string[], options?: { stdin?: string; env?: object }) =>
    run(process.execPath, [MAIN, 'ue', ...args], dir, options)
  const ue = (args: string[], stdin?: string) =>
    raw(['--sim', 'alice.yaml', ...args], stdin === undefined ? {} : { stdin })
  return { dir, bsf, naf, ue, raw }
}

const URL_ = `https://${NAF}/resource-lists/users/sip:alice@example.com/index`

describe('gba-proxy ue', () => {
  test('prints the body, and keeps its bootstrap for the next call', async (t) => {
    const { ue, bsf, naf } = await lab(t)
    for (let i = 0; i < 2; i++) assert.deepEqual(await ue([URL_]), { code: 0, stdout: 'content', stderr: '' })
    assert.equal(bsf.drawn(), 1)
    assert.equal(naf.requests.length, 3)
    assert.equal((await ue(['--new-bootstrap', URL_])).code, 0)
    assert.equal(bsf.drawn(), 2)
  })

  test('sends what it is told, and keeps line ends', async (t) => {
    const { ue, naf, dir } = await lab(t)
    writeFileSync(join(dir, 'list.xml'), '<a\n b="c"/>\n')
    const last = () => naf.requests.at(-1)
    assert.equal((await ue(['-X', 'PUT', '-d', '@list.xml', '-H', 'If-None-Match: *', '-H', 'Accept:', URL_])).code, 0)
    assert.deepEqual([last()?.method, Buffer.from(last()?.body ?? []).toString()], ['PUT', '<a\n b="c"/>\n'])
    assert.equal(last()?.headers['content-type'], 'application/resource-lists+xml')
    assert.deepEqual([last()?.headers['if-none-match'], last()?.headers.accept], ['*', undefined])

    await ue(['-d', 'a', '--data-binary', 'b', '-H', 'content-type: text/plain', '-H', 'X-Empty;', URL_])
    assert.deepEqual([last()?.method, Buffer.from(last()?.body ?? []).toString()], ['POST', 'a&b'])
    assert.deepEqual([last()?.headers['content-type'], last()?.headers['x-empty']], ['text/plain', ''])

    await ue(['-T', '-', URL_], 'from stdin')
    assert.deepEqual([last()?.method, Buffer.from(last()?.body ?? []).toString()], ['PUT', 'from stdin'])

    await ue(['-T', 'list.xml', `https://${NAF}/folder/`])
    assert.equal(last()?.target, '/folder/list.xml')

    await ue(['--qop', 'auth', '--intended-identity', 'sip:alice@example.com', URL_])
    assert.equal(last()?.credentials?.qop, 'auth')
    assert.equal(last()?.headers['x-3gpp-intended-identity'], '"sip:alice@example.com"')
  })

  test('behaves as the make of UE it is told to be', async (t) => {
    const { ue, naf } = await lab(t)
    assert.equal((await ue(['--profile', 'curl', '-X', 'PUT', '-d', 'xyz', URL_])).code, 0)
    assert.deepEqual(
      naf.requests.map(({ headers }) => [headers['user-agent'], headers['content-length']]),
      [
        ['curl/7.88.1 3gpp-gba', '0'],
        ['curl/7.88.1 3gpp-gba', '3'],
      ],
    )
  })

  test('writes where it is told, with headers when asked', async (t) => {
    const answer = () => ({ status: 200, headers: { etag: '"v1"' }, body: 'x' })
    const { ue, dir, naf } = await lab(t, { naf: { answer } })
    assert.equal((await ue(['-o', 'out', URL_])).stdout, '')
    assert.equal(readFileSync(join(dir, 'out'), 'utf8'), 'x')
    assert.match((await ue(['-i', URL_])).stdout, /^HTTP\/1\.1 200 OK\r\netag: "v1"\r\n(?:.+\r\n)+\r\nx$/)
    const head = await ue(['-I', URL_])
    assert.match(head.stdout, /^HTTP\/1\.1 200 OK\r\n(?:.+\r\n)+\r\n$/)
    assert.equal(naf.requests.at(-1)?.method, 'HEAD')
  })

  test('shows every message with -v, and no key', async (t) => {
    const { ue } = await lab(t, { https: 'TLSv1.2' })
    const { stderr, stdout } = await ue(['-v', URL_])
    assert.equal(stdout, 'content')
    const starts = stderr.split('\n').filter((line) => /^(?:\* U[ab] |> GET|< HTTP)/.test(line))
    assert.deepEqual(
      starts.map((line) =>
        line
          .split(/ {2,}| /)
          .slice(0, 3)
          .join(' '),
      ),
      ['* Ua UE', '> GET /resource-lists/users/sip:alice@example.com/index', '< HTTP/1.1 401'].concat(
        ['* Ub UE', '> GET /', '< HTTP/1.1 401', '* Ub UE', '> GET /', '< HTTP/1.1 200'],
        ['* Ua UE', '> GET /resource-lists/users/sip:alice@example.com/index', '< HTTP/1.1 200'],
      ),
    )
    const keys = [SET_1.k, SET_1.opc, 'b40ba9a3c58b2a05bbf0d987b21bf8cbf769bcd751044604127672711c6d3441']
    for (const key of [...keys, '1b1864e473732e8d221187a496a2104870043ab3014cc669fd55cb9eccc21f46']) {
      assert.equal(shows(stderr, fromHex(key)), false)
    }
  })

  test('finds its SIM by name, and by the environment', async (t) => {
    const { raw, dir } = await lab(t)
    mkdirSync(join(dir, 'lab/sims'), { recursive: true })
    writeFileSync(
      join(dir, 'lab/sims/bob.yaml'),
      readFileSync(join(dir, 'alice.yaml'), 'utf8').replace('ca.pem', '../../ca.pem'),
    )
    assert.equal((await raw(['--sim', 'bob', URL_])).code, 0)
    assert.equal((await raw([URL_], { env: { GBA_SIM: './alice.yaml' } })).code, 0)
    assert.equal((await raw([URL_])).code, 2)
  })

  test('speaks the version of TLS it is told', async (t) => {
    const { ue } = await lab(t)
    assert.match((await ue(['-v', '--tls', '1.2', URL_])).stderr, /\(TLSv1\.2, TLS_ECDHE/)
  })

  for (const [tls, separator] of [
    ['1.2', ';'],
    ['1.3', ''],
  ] as const) {
    test(`comes in by its bootstrapped key in TLS ${tls}`, async (t) => {
      const { ue, dir, bsf } = await lab(t)
      const naf = await pskNaf({ sessions: bsf.sessions, credential: pki.ap })
      t.after(() => naf.close())
      writeFileSync(join(dir, 'alice.yaml'), simText({ bsf: bsf.port, naf: naf.port }))
      for (let i = 0; i < 2; i++) {
        const { code, stdout, stderr } = await ue(['-v', '--psk', '--psk-separator', separator, '--tls', tls, URL_])
        assert.deepEqual([code, stdout], [0, 'content'], stderr)
        assert.match(stderr, /by the bootstrapped key/)
      }
      assert.deepEqual([bsf.drawn(), naf.requests.map(({ door }) => door.kind)], [1, ['psk', 'psk']])
    })
  }

  describe('exits with', { concurrency: 6 }, () => {
    test('0 for any status, 22 for 400 and above with -f, and then prints no body', async (t) => {
      const { ue } = await lab(t, { naf: { answer: () => ({ status: 404, body: 'gone' }) } })
      assert.deepEqual(await ue([URL_]), { code: 0, stdout: 'gone', stderr: '' })
      const failed = await ue(['-f', URL_])
      assert.deepEqual([failed.code, failed.stdout], [22, ''])
      assert.match(failed.stderr, /\(22\).*404/)
      assert.deepEqual(await ue(['-sf', URL_]), { code: 22, stdout: '', stderr: '' })
      assert.match((await ue(['-sSf', URL_])).stderr, /404/)
    })

    const free = async () => {
      const server = createServer().listen(0, '127.0.0.1')
      await new Promise((resolve) => server.once('listening', resolve))
      const address = server.address()
      await new Promise((resolve) => server.close(resolve))
      return typeof address === 'object' && address ? address.port : assert.fail()
    }

    const file = (name: string, content: string, args: string[]) => (dir: string) => {
      writeFileSync(join(dir, name), content)
      return args
    }

    const cases: [string, number, Setup, (dir: string) => string[] | Promise<string[]>][] = [
      ['no URL', 2, {}, () => []],
      ['two URLs', 2, {}, () => [URL_, URL_]],
      ['an unknown option', 2, {}, () => ['--nonsense', URL_]],
      ['a profile that is none', 2, {}, () => ['--profile', 'symbian', URL_]],
      ['a qop that is none', 2, {}, () => ['--qop', 'auth-conf', URL_]],
      ['a Ua id that is none', 2, {}, () => ['--ua-id', '01', URL_]],
      ['a header that is none', 2, {}, () => ['-H', 'nothing', URL_]],
      ['a header with a line end', 2, {}, () => ['-H', 'a: b\r\nc: d', URL_]],
      ['a time that is none', 2, {}, () => ['-m', 'soon', URL_]],
      ['a connect rule that is none', 2, {}, () => ['--connect-to', 'a:b', URL_]],
      ['two doors at once', 2, {}, () => ['--psk', '--cert', 'ca.pem', URL_]],
      ['a key without a certificate', 2, {}, () => ['--key', 'ca.pem', URL_]],
      ['a TLS version that is none', 2, {}, () => ['--tls', '1.1', URL_]],
      ['a bootstrapped key without TLS', 2, {}, () => ['--psk', `http://${NAF}/`]],
      ['a separator without an identity', 2, {}, () => ['--psk-separator', '.', URL_]],
      ['a separator that is none', 2, {}, () => ['--psk', '--psk-separator', ',', URL_]],
      ['an upgrade of what is TLS already', 2, {}, () => ['--upgrade', URL_]],
      ['a curl line with a bootstrapped key', 2, {}, () => ['--print-curl', '--psk', URL_]],
      ['a curl line with an upgrade', 2, {}, () => ['--print-curl', '--upgrade', `http://${NAF}/`]],
      ['a SIM file that is not there', 2, {}, () => ['--sim', 'carol.yaml', URL_]],
      ['a URL that is none', 3, {}, () => ['gopher://a/']],
      ['a BSF URL that is none', 3, {}, () => ['--bsf', 'bsf', URL_]],
      ['a host that nobody knows', 6, {}, () => ['https://nowhere.invalid/']],
      ['a port where nobody listens', 7, {}, async () => ['--connect-to', `::127.0.0.1:${await free()}`, URL_]],
      ['an output file that cannot be', 23, {}, () => ['-o', '/nowhere/at/all', URL_]],
      ['an input file that is not there', 26, {}, () => ['-d', '@nowhere', URL_]],
      ['a state file that is none', 26, {}, file('alice.state.json', '?', [URL_])],
      ['a server that is too slow', 28, { naf: { silent: true } }, () => ['-m', '0.4', URL_]],
      ['a server without TLS', 35, { plain: true }, () => [URL_]],
      ['a server that cuts the connection', 52, { naf: { drop: new Set(['/']) } }, () => [`https://${NAF}/`]],
      ['a certificate of its own that is not there', 58, {}, () => ['--cert', 'nowhere.pem', URL_]],
      ['a certificate of its own without a key', 58, {}, () => ['--cert', 'ca.pem', URL_]],
      ['ciphers that are none', 59, {}, () => ['--ciphers', 'NONSENSE', URL_]],
      ['a certificate of another CA', 60, {}, file('x.pem', OTHER_CA, ['--cacert', 'x.pem', URL_])],
      ['a CA file that is not there', 77, {}, () => ['--cacert', 'nowhere.pem', URL_]],
      ['a BSF that refuses', 110, { bsf: { refuse: 403 } }, () => [URL_]],
      ['a network with another K', 111, { bsf: { otherKey: true } }, () => [URL_]],
      ['a BSF with a wrong rspauth', 112, { bsf: { rspauth: 'wrong' } }, () => [URL_]],
      ['a NAF with a wrong rspauth', 112, { naf: { rspauth: 'wrong' } }, () => [URL_]],
      [
        'a NAF without rspauth when it must have one',
        112,
        { naf: { rspauth: 'none' } },
        () => ['--require-rspauth', URL_],
      ],
      ['a realm of another host', 113, { naf: { realm: '3GPP-bootstrapping@evil.example' } }, () => [URL_]],
      ['a BSF that says something else', 114, { bsf: { info: '<x/>' } }, () => [URL_]],
      ['a NAF that does not want its key', 116, {}, () => ['--psk', URL_]],
      ['a NAF that does not change to TLS', 117, { plain: true }, () => ['--upgrade', `http://${NAF}/`]],
    ]
    for (const [what, code, setup, args] of cases) {
      test(`${code} for ${what}`, async (t) => {
        const { ue, dir } = await lab(t, setup)
        const result = await ue(await args(dir))
        assert.equal(result.code, code, result.stderr)
        assert.equal(result.stdout, '')
        assert.match(result.stderr, code === 2 ? /^gba-proxy ue: / : new RegExp(`^gba-proxy ue: \\(${code}\\) .+\n$`))
      })
    }
  })

  for (const https of ['TLSv1.2', 'TLSv1.3'] as const) {
    peerTest(`prints a curl line that curl can act on, over ${https}`, ['curl', 'sh'], async (t) => {
      const { ue, dir, naf, bsf } = await lab(t, { https, naf: { qop: ['auth'] } })
      writeFileSync(join(dir, 'list.xml'), "it's <a/>\n")
      const printed = await ue(['--print-curl', '-X', 'PUT', '-d', '@list.xml', '--intended-identity', 'sip:a@b', URL_])
      assert.equal(printed.code, 0)
      assert.match(printed.stderr, /Ks_NAF/)
      assert.equal(naf.requests.length, 0)
      const { code, stdout } = await run('sh', ['-c', printed.stdout], dir)
      assert.deepEqual([code, stdout], [0, 'content'])
      const last = naf.requests.at(-1)
      assert.deepEqual([last?.method, Buffer.from(last?.body ?? []).toString()], ['PUT', "it's <a/>\n"])
      assert.equal(last?.headers['x-3gpp-intended-identity'], '"sip:a@b"')
      assert.equal(last?.headers['content-type'], 'application/resource-lists+xml')
      assert.equal(bsf.drawn(), 1)
    })
  }

  describe('with a certificate of its own', () => {
    const wantsOne = async (t: TestContext) => {
      const { ue, dir, bsf } = await lab(t)
      const { certificate, key } = pki.znClients[ALICE] ?? assert.fail()
      const subjects: (string | undefined)[] = []
      const options = { cert: pki.ap.certificate, key: pki.ap.key, ca: pki.ca.certificate, requestCert: true }
      const server = https.createServer(options, (request, response) => {
        subjects.push((request.socket as TLSSocket).getPeerX509Certificate()?.subject)
        response.end('by certificate')
      })
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      t.after(() => server.close())
      const { port } = server.address() as AddressInfo
      writeFileSync(join(dir, 'alice.yaml'), simText({ bsf: bsf.port, naf: port }, { caFile: 'ca.pem' }))
      writeFileSync(join(dir, 'own.pem'), certificate)
      writeFileSync(join(dir, 'own.key'), key)
      writeFileSync(join(dir, 'both.pem'), certificate + key)
      return { ue, dir, bsf, subjects }
    }

    test('it needs no bootstrap, be it in one file or in two', async (t) => {
      const { ue, bsf, subjects } = await wantsOne(t)
      for (const files of [
        ['--cert', 'own.pem', '--key', 'own.key'],
        ['-E', 'both.pem'],
      ]) {
        assert.deepEqual(await ue([...files, URL_]), { code: 0, stdout: 'by certificate', stderr: '' })
        assert.match(subjects.pop() ?? '', /alice/)
      }
      assert.equal(bsf.requests.length, 0)
    })

    peerTest('it prints a curl line with the certificate, and without a key of GBA', ['curl', 'sh'], async (t) => {
      const { ue, dir, bsf, subjects } = await wantsOne(t)
      for (const files of [
        ['--cert', 'own.pem', '--key', 'own.key', '--tls', '1.3', '--ciphers', 'TLS_AES_128_GCM_SHA256'],
        ['--cert', 'both.pem', '--tls', '1.2', '--ciphers', 'ECDHE-ECDSA-AES128-GCM-SHA256'],
      ]) {
        const printed = await ue(['--print-curl', ...files, URL_])
        assert.deepEqual([printed.code, printed.stderr], [0, ''])
        assert.doesNotMatch(printed.stdout, /digest/)
        assert.equal((await run('sh', ['-c', printed.stdout], dir)).stdout, 'by certificate', printed.stdout)
        assert.match(subjects.pop() ?? '', /alice/)
      }
      assert.equal(bsf.requests.length, 0)
    })
  })
})
