import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import tls, { type ConnectionOptions, type TLSSocket, type TlsOptions } from 'node:tls'
import { ConfigError } from '../../src/config/config-error.ts'
import type { Fqdn } from '../../src/core/identity.ts'
import { makeLabPki } from '../../src/tls/issue.ts'
import { CIPHER_SUITES_OFFERED, clientTlsOptions, mutualTlsOptions, serverTlsOptions } from '../../src/tls/listener.ts'
import { writePki } from '../../src/tls/pki-files.ts'

const directory = mkdtempSync(join(tmpdir(), 'gba-tls-'))
const otherDirectory = mkdtempSync(join(tmpdir(), 'gba-tls-'))
const names = {
  naf: ['xcap.example.org' as Fqdn],
  bsf: ['bsf.example.org' as Fqdn],
  // Suites for RSA keys are many, good ones and others.
  serverKeyTypes: { ap: 'rsa', bsf: 'rsa' },
  znClients: [{ name: 'ap' as Fqdn }],
} as const
await writePki(directory, await makeLabPki({ names, now: Date.now(), validDays: 1 }))
await writePki(otherDirectory, await makeLabPki({ names, now: Date.now(), validDays: 1 }))
after(() => {
  rmSync(directory, { recursive: true })
  rmSync(otherDirectory, { recursive: true })
})

const pair = (stem: string, folder = directory) => ({
  certificateFile: join(folder, `${stem}.pem`),
  keyFile: join(folder, `${stem}.key`),
})
const caFile = join(directory, 'ca.pem')
const client = (stem: string, folder?: string) => clientTlsOptions({ ...pair(stem, folder), caFile })

/** A TLS server that answers each connection with one octet. */
async function serve(options: TlsOptions): Promise<{ port: number; close: () => void; refusals: string[] }> {
  const refusals: string[] = []
  const sockets = new Set<TLSSocket>()
  const server = tls.createServer(options, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.write('.')
  })
  server.on('tlsClientError', (error: NodeJS.ErrnoException) => refusals.push(String(error.code)))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const close = () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  }
  return { port: (server.address() as AddressInfo).port, close, refusals }
}

interface Met {
  protocol: string | null
  suite: string
  alpn: string | false | null
  resumed: boolean
  session: Buffer | undefined
}

/** Connects, waits for the server's octet (so that TLS 1.3 client authentication has been judged), and hangs up. */
function meet(port: number, options: ConnectionOptions): Promise<Met> {
  return new Promise((resolve, reject) => {
    let session: Buffer | undefined
    const socket = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ca: [], ...options })
    socket.on('session', (ticket) => {
      session = ticket
    })
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('closed')))
    socket.once('data', () =>
      // tickets of TLS 1.3 come about now
      setTimeout(() => {
        resolve({
          protocol: socket.getProtocol(),
          suite: socket.getCipher().name,
          alpn: socket.alpnProtocol,
          resumed: socket.isSessionReused(),
          session,
        })
        socket.destroy()
      }, 20),
    )
  })
}

const insecure = (version: 'TLSv1' | 'TLSv1.1' | 'TLSv1.2', ciphers: string): ConnectionOptions => ({
  ...{ minVersion: version, maxVersion: version, ciphers: `${ciphers}@SECLEVEL=0`, rejectUnauthorized: false },
})

describe('the listener for UEs', () => {
  let server: Awaited<ReturnType<typeof serve>>
  let lax: Awaited<ReturnType<typeof serve>>
  before(async () => {
    const options = serverTlsOptions(pair('ap'))
    server = await serve(options)
    const { cert, key } = options
    lax = await serve({ cert, key, minVersion: 'TLSv1', ciphers: 'ALL@SECLEVEL=0' } as TlsOptions)
  })
  after(() => {
    server.close()
    lax.close()
  })
  const trusting = clientTlsOptions({ ...pair('zn-ap'), caFile })

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`speaks ${version}`, async () => {
      const met = await meet(server.port, { ...trusting, minVersion: version, maxVersion: version })
      assert.equal(met.protocol, version)
    })

    test(`chooses the suite by its own order on ${version}, whatever the order of the UE`, async () => {
      const ours = CIPHER_SUITES_OFFERED.filter((suite) => suite.startsWith('TLS_') === (version === 'TLSv1.3'))
      const usable = ours.filter((suite) => !suite.includes('ECDSA'))
      assert.ok(usable.length >= 3)
      // with each suite gone from the front, the next of ours is taken
      for (const [i, expected] of usable.entries()) {
        const offer = usable.slice(i).reverse().join(':')
        const { suite } = await meet(server.port, {
          ...trusting,
          minVersion: version,
          maxVersion: version,
          ciphers: offer,
        })
        assert.equal(suite, expected)
      }
    })
  }

  for (const [name, options] of [
    ['TLS 1.0', insecure('TLSv1', 'ALL')],
    ['TLS 1.1', insecure('TLSv1.1', 'ALL')],
    ['CBC', insecure('TLSv1.2', 'ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES128-SHA:AES128-SHA')],
    ['RSA key exchange', insecure('TLSv1.2', 'AES128-GCM-SHA256')],
  ] as const) {
    test(`refuses ${name}, which the same client gets elsewhere`, async () => {
      await meet(lax.port, options)
      await assert.rejects(meet(server.port, options), /alert/)
    })
  }

  test('does not renegotiate', async () => {
    const renegotiate = (port: number) =>
      new Promise<Error | null>((resolve) => {
        const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, maxVersion: 'TLSv1.2' })
        socket.on('error', resolve)
        socket.once('data', () => {
          socket.renegotiate({}, (error) => {
            resolve(error)
            socket.destroy()
          })
        })
      })
    assert.equal(await renegotiate(lax.port), null)
    assert.ok((await renegotiate(server.port)) instanceof Error)
  })

  test('speaks HTTP/1.1 to who asks, and hangs up on who wants HTTP/2 only', async () => {
    assert.equal((await meet(server.port, { ...trusting, ALPNProtocols: ['h2', 'http/1.1'] })).alpn, 'http/1.1')
    assert.equal((await meet(server.port, trusting)).alpn, false)
    await assert.rejects(meet(server.port, { ...trusting, ALPNProtocols: ['h2'] }))
  })

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`resumes a ${version} session with the same suite`, async () => {
      const options = { ...trusting, minVersion: version, maxVersion: version }
      const first = await meet(server.port, options)
      assert.equal(first.resumed, false)
      const second = await meet(server.port, { ...options, ...(first.session && { session: first.session }) })
      assert.deepEqual([second.resumed, second.suite], [true, first.suite])
    })
  }
})

describe('the listener for NAFs', () => {
  let server: Awaited<ReturnType<typeof serve>>
  before(async () => {
    server = await serve(mutualTlsOptions({ ...pair('bsf'), clientCaFile: caFile }))
  })
  after(() => server.close())

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const only = { minVersion: version, maxVersion: version }

    test(`accepts a certificate of its CA on ${version}`, async () => {
      assert.equal((await meet(server.port, { ...client('zn-ap'), ...only })).protocol, version)
    })

    for (const [name, options] of [
      ['no certificate', { ca: client('zn-ap').ca }],
      ['a certificate of another CA', client('zn-ap', otherDirectory)],
      ['a server certificate of its CA', client('ap')],
    ] as const) {
      test(`refuses ${name} on ${version}`, async () => {
        await assert.rejects(meet(server.port, { ...options, ...only }))
      })
    }

    test(`resumes no ${version} session`, async () => {
      const first = await meet(server.port, { ...client('zn-ap'), ...only })
      const options = { ...client('zn-ap'), ...only, ...(first.session && { session: first.session }) }
      assert.equal((await meet(server.port, options)).resumed, false)
    })
  }

  test('is not believed by a client that trusts another CA', async () => {
    const stranger = clientTlsOptions({ ...pair('zn-ap'), caFile: join(otherDirectory, 'ca.pem') })
    await assert.rejects(meet(server.port, stranger))
  })
})

describe('certificate files', () => {
  const put = (name: string, text: string) => {
    writeFileSync(join(directory, name), text, { mode: 0o600 })
    return join(directory, name)
  }
  const cases: [name: string, options: () => TlsOptions, file: string][] = [
    [
      'a certificate that is missing',
      () => serverTlsOptions({ ...pair('ap'), certificateFile: '/nonexistent' }),
      '/nonexistent',
    ],
    ['a key that is missing', () => serverTlsOptions({ ...pair('ap'), keyFile: '/nonexistent' }), '/nonexistent'],
    [
      'a key of another certificate',
      () => serverTlsOptions({ ...pair('ap'), keyFile: pair('bsf').keyFile }),
      pair('bsf').keyFile,
    ],
    [
      'a key in place of a certificate',
      () => serverTlsOptions({ ...pair('ap'), certificateFile: pair('ap').keyFile }),
      pair('ap').keyFile,
    ],
    ['a certificate in place of a key', () => serverTlsOptions({ ...pair('ap'), keyFile: caFile }), caFile],
    [
      'a certificate that is broken',
      () =>
        serverTlsOptions({
          ...pair('ap'),
          certificateFile: put('broken.pem', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'),
        }),
      join(directory, 'broken.pem'),
    ],
    [
      'a client CA that is no CA',
      () => mutualTlsOptions({ ...pair('bsf'), clientCaFile: pair('ap').certificateFile }),
      pair('ap').certificateFile,
    ],
  ]
  for (const [name, options, file] of cases) {
    test(`refuses ${name} and names the file`, () => {
      assert.throws(options, (error) => error instanceof ConfigError && error.file === file)
    })
  }

  test('warns of a key that its group can read', () => {
    const warned: string[] = []
    const warn = (file: string) => warned.push(file)
    serverTlsOptions(pair('ap'), warn)
    assert.deepEqual(warned, [])
    chmodSync(pair('ap').keyFile, 0o640)
    serverTlsOptions(pair('ap'), warn)
    chmodSync(pair('ap').keyFile, 0o600)
    assert.deepEqual(warned, [pair('ap').keyFile])
  })

  for (const mode of [0o644, 0o604, 0o602, 0o666]) {
    test(`refuses a key that every user can get at: ${mode.toString(8)}`, (t) => {
      const { keyFile } = pair('ap')
      chmodSync(keyFile, mode)
      t.after(() => chmodSync(keyFile, 0o600))
      assert.throws(
        () => serverTlsOptions(pair('ap'), () => {}),
        (error) => error instanceof ConfigError && error.file === keyFile,
      )
    })
  }
})
