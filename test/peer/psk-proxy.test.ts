import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { toHex } from '../../src/core/bytes.ts'
import { UA_PSK_TLS13, type UaProtocolId, uaProtocolIdOfSuiteCode } from '../../src/core/naf-id.ts'
import { formatPskIdentity } from '../../src/core/psk-identity.ts'
import { impuOf, LAB_NAF } from '../../src/lab.ts'
import { freshState, memoryState } from '../../src/ue/state.ts'
import { testLab } from '../support/lab.ts'
import { peerTest } from '../support/peer.ts'

const OWN = `/resource-lists/users/${impuOf('alice')}/index`
const REQUESTS =
  `GET ${OWN} HTTP/1.1\r\nHost: ${LAB_NAF}\r\n\r\n` +
  `PUT ${OWN} HTTP/1.1\r\nHost: ${LAB_NAF}\r\nContent-Length: 4\r\nConnection: close\r\n\r\n<a/>`

/** The key in hex, made by Python from CK and IK of the run: none of our derivations is in it. */
const KDF = `
import hashlib, hmac, sys
ks, rand, impi, naf_id = bytes.fromhex(sys.argv[1]), bytes.fromhex(sys.argv[2]), sys.argv[3].encode(), bytes.fromhex(sys.argv[4])
s = b"\\x01"
for p in (b"gba-me", rand, impi, naf_id):
    s += p + len(p).to_bytes(2, "big")
print(hmac.new(ks, s, hashlib.sha256).hexdigest())
`

const said = async (program: string, args: readonly string[], input = '') => {
  const child = spawn(program, args, { timeout: 20_000, killSignal: 'SIGKILL' })
  let text = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('latin1').on('data', (part: string) => {
      text += part
    })
  }
  child.stdin.on('error', () => {}) // it ends when the handshake fails
  child.stdin.write(input) // and stays open: some clients hang up at its end
  if (input === '') child.stdin.end()
  await once(child, 'close')
  return text
}

interface Key {
  readonly port: number
  readonly identity: string
  readonly psk: string
}
const openssl = (...more: string[]) => ({
  name: `openssl ${more.join(' ')}`,
  programs: ['openssl', 'python3'],
  ask: ({ port, identity, psk }: Key) =>
    said(
      'openssl',
      [
        's_client',
        '-quiet',
        '-connect',
        `127.0.0.1:${port}`,
        '-servername',
        LAB_NAF,
        '-psk_identity',
        identity,
        '-psk',
        psk,
        ...more,
      ],
      REQUESTS,
    ),
})
const gnutls = (priority: string) => ({
  name: `gnutls-cli ${priority}`,
  programs: ['gnutls-cli', 'python3'],
  ask: ({ port, identity, psk }: Key) =>
    said(
      'gnutls-cli',
      [
        '--port',
        String(port),
        '--sni-hostname',
        LAB_NAF,
        '--pskusername',
        identity,
        '--pskkey',
        psk,
        '--priority',
        priority,
        '127.0.0.1',
      ],
      REQUESTS,
    ),
})

for (const [uaProtocolId, { name, programs, ask }] of [
  [uaProtocolIdOfSuiteCode(0x00a8), openssl('-tls1_2', '-cipher', 'PSK-AES128-GCM-SHA256')],
  [uaProtocolIdOfSuiteCode(0x00aa), openssl('-tls1_2', '-cipher', 'DHE-PSK-AES128-GCM-SHA256')],
  [uaProtocolIdOfSuiteCode(0xccac), openssl('-tls1_2', '-cipher', 'ECDHE-PSK-CHACHA20-POLY1305')],
  [UA_PSK_TLS13, openssl('-tls1_3', '-ciphersuites', 'TLS_AES_128_GCM_SHA256')],
  [uaProtocolIdOfSuiteCode(0x00a8), gnutls('NORMAL:-KX-ALL:+PSK:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-GCM')],
] as const satisfies readonly (readonly [UaProtocolId, ReturnType<typeof openssl>])[]) {
  peerTest(`${name}, with a key that Python derived, is alice to the server behind the proxy`, programs, async () => {
    const lab = await testLab({ recording: true, ap: { routes: [{ appServer: 'lab', doors: ['psk', 'digest'] }] } })
    try {
      const state = memoryState(freshState(await lab.sim('alice')))
      const { btid, impi } = await (await lab.ue('alice', { state })).bootstrap()
      const { ks, rand } = state.read().bootstrap ?? assert.fail('no bootstrap')
      const nafId = Buffer.concat([Buffer.from(LAB_NAF), Buffer.from(uaProtocolId, 'hex')]).toString('hex')
      const psk = (await said('python3', ['-c', KDF, toHex(ks.expose()), toHex(rand), impi, nafId])).trim()
      assert.match(psk, /^[0-9a-f]{64}$/)
      const port = lab.app.addresses.ap?.port ?? 0
      const text = await ask({ port, identity: formatPskIdentity(btid), psk })
      assert.equal(text.match(/HTTP\/1\.1 200 /g)?.length, 2, text)
      assert.deepEqual(
        lab.seen.map(({ method, body, rawHeaders }) => [
          method,
          body.toString(),
          rawHeaders[rawHeaders.indexOf('x-3gpp-asserted-identity') + 1],
        ]),
        [
          ['GET', '', `"${impuOf('alice')}"`],
          ['PUT', '<a/>', `"${impuOf('alice')}"`],
        ],
      )
    } finally {
      await lab.close()
    }
  })
}
