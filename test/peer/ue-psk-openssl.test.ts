import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { toHex } from '../../src/core/bytes.ts'
import { UA_PSK_TLS13, type UaProtocolId, uaProtocolIdOfSuiteCode } from '../../src/core/naf-id.ts'
import { formatPskIdentity } from '../../src/core/psk-identity.ts'
import { createUe, type UeOptions } from '../../src/ue/flow.ts'
import { PSK_SUITES } from '../../src/ue/psk.ts'
import { peerTest } from '../support/peer.ts'
import { card } from '../ue/card.ts'
import { fakeBsf, NAF } from '../ue/fake-network.ts'

/** The first thing a server prints that looks like this. */
function printed(child: ChildProcess, pattern: RegExp): Promise<RegExpExecArray> {
  return new Promise((resolve, reject) => {
    let said = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        said += chunk.toString()
        const match = pattern.exec(said)
        if (match) resolve(match)
      })
    }
    child.once('close', () => reject(new Error(said)))
  })
}

function start(t: TestContext, program: string, args: readonly string[]): ChildProcess {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  t.after(async () => {
    if (child.exitCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'close')
  })
  return child
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address ? address.port : assert.fail()
}

/** A UE that has bootstrapped, and the key that the server has to have. */
async function bootstrapped(t: TestContext, options: UeOptions, id: UaProtocolId) {
  const bsf = await fakeBsf()
  let port = 9
  // the server can be started only when the key is known: where it is comes last
  const connect = [
    {
      host: NAF,
      toHost: '127.0.0.1',
      get toPort() {
        return port
      },
    },
  ]
  const ue = createUe(card({ bsf: bsf.port }), { psk: true, connect, ...options })
  t.after(async () => {
    ue.close()
    await bsf.close()
  })
  const { btid, ksNaf } = await ue.bootstrap()
  return {
    ue,
    bsf,
    identity: formatPskIdentity(btid),
    key: toHex(ksNaf(NAF, id).expose(32)),
    at(toPort: number) {
      port = toPort
    },
  }
}

const CASES: readonly (readonly [UeOptions, UaProtocolId, string])[] = [
  ...[...PSK_SUITES].map(
    ([ciphers, code]) => [{ tls: '1.2', ciphers }, uaProtocolIdOfSuiteCode(code), ciphers] as const,
  ),
  [{ tls: '1.3' }, UA_PSK_TLS13, 'TLS_AES_128_GCM_SHA256'],
  [{ tls: '1.3' }, UA_PSK_TLS13, 'TLS_CHACHA20_POLY1305_SHA256'],
]

for (const [options, id, suite] of CASES) {
  peerTest(`openssl serves the UE by its bootstrapped key: ${suite}`, ['openssl'], async (t) => {
    const { ue, bsf, identity, key, at } = await bootstrapped(t, options, id)
    const by = ['-psk', key, '-psk_identity', identity, '-psk_hint', '3GPP-bootstrapping', '-nocert']
    const version = options.tls === '1.3' ? ['-tls1_3', '-ciphersuites', suite] : ['-tls1_2', '-cipher', suite]
    const server = start(t, 'openssl', ['s_server', '-accept', '127.0.0.1:0', '-www', ...by, ...version])
    at(Number((await printed(server, /ACCEPT 127\.0\.0\.1:(\d+)/))[1]))
    const { status, connection } = await ue.request('GET', `https://${NAF}/`)
    assert.equal(status, 200)
    assert.deepEqual([connection.tls?.psk, connection.tls?.cipher], [true, suite])
    assert.equal(bsf.drawn(), 1)
  })
}

for (const [options, id, what] of [
  [{ tls: '1.2', ciphers: 'PSK-AES128-GCM-SHA256' }, uaProtocolIdOfSuiteCode(0x00a8), 'TLS 1.2'],
  [{ tls: '1.3' }, UA_PSK_TLS13, 'TLS 1.3'],
] as const) {
  peerTest(`openssl has another key, and the UE bootstraps once more: ${what}`, ['openssl'], async (t) => {
    const { ue, bsf, identity, at } = await bootstrapped(t, options, id)
    const by = ['-psk', 'ff'.repeat(32), '-psk_identity', identity, '-psk_hint', '3GPP-bootstrapping', '-nocert']
    const version = options.tls === '1.3' ? '-tls1_3' : '-tls1_2'
    const server = start(t, 'openssl', ['s_server', '-accept', '127.0.0.1:0', '-www', version, ...by])
    at(Number((await printed(server, /ACCEPT 127\.0\.0\.1:(\d+)/))[1]))
    await assert.rejects(ue.request('GET', `https://${NAF}/`), { code: 'PSK_REFUSED' })
    assert.equal(bsf.drawn(), 2)
  })

  peerTest(`gnutls-serv serves the UE by its bootstrapped key: ${what}`, ['gnutls-serv'], async (t) => {
    const { ue, bsf, identity, key, at } = await bootstrapped(t, options, id)
    const directory = mkdtempSync(join(tmpdir(), 'gba-ue-psk-'))
    t.after(() => rmSync(directory, { recursive: true }))
    const passwords = join(directory, 'psk.txt')
    writeFileSync(passwords, `${identity}:${key}\n`, { mode: 0o600 })
    const port = await freePort()
    const priority = options.tls === '1.3' ? '-VERS-ALL:+VERS-TLS1.3' : '-VERS-ALL:+VERS-TLS1.2'
    const server = start(t, 'gnutls-serv', [
      ...['--http', '--port', String(port), '--pskpasswd', passwords, '--pskhint', '3GPP-bootstrapping'],
      ...['--priority', `NORMAL:-KX-ALL:+PSK:+DHE-PSK:${priority}`],
    ])
    await printed(server, /listening on IPv4[^\n]*done/)
    at(port)
    const { status, connection } = await ue.request('GET', `https://${NAF}/`)
    assert.deepEqual([status, connection.tls?.psk, bsf.drawn()], [200, true, 1])
  })
}
