import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { formatPskIdentity } from '../../src/core/psk-identity.ts'
import { peerTest } from '../support/peer.ts'
import { askThrough, PSK_BTID, PSK_NAF, pskOf, servePsk } from '../support/psk-peer.ts'

const identity = formatPskIdentity(PSK_BTID)

/** libgnutls without gnutls-cli, which does not survive an ephemeral key exchange with a shared key. */
const client = fileURLToPath(new URL('gnutls_psk.py', import.meta.url))

async function ask(t: TestContext, uaProtocolId: string, priority: string, name = identity) {
  const { port, refusals } = await servePsk(t)
  const by = ['--pskusername', name, '--pskkey', pskOf(uaProtocolId), '--priority', priority]
  const to = ['--no-ca-verification', '--sni-hostname', PSK_NAF, '--port', String(port), '127.0.0.1']
  const said = await askThrough('gnutls-cli', [...by, ...to])
  return { said, refusals }
}

const TLS12 = (exchange: string, cipher: string) =>
  `NONE:+VERS-TLS1.2:+${exchange}:+${cipher}:+AEAD:+COMP-NULL:+GROUP-ALL:+SIGN-ALL`
const TLS13 = 'NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+DHE-PSK:+ECDHE-PSK'

for (const [name, uaProtocolId, priority] of [
  ['PSK and AES-128', '01000100a8', TLS12('PSK', 'AES-128-GCM')],
  ['PSK and AES-256', '01000100a9', TLS12('PSK', 'AES-256-GCM')],
  ['PSK and ChaCha20', '010001ccab', TLS12('PSK', 'CHACHA20-POLY1305')],
  ['PSK and what it likes in TLS 1.2', '01000100a8', 'NORMAL:-KX-ALL:+PSK:-VERS-ALL:+VERS-TLS1.2'],
  ['an external key in TLS 1.3', '0100000007', TLS13],
  ['an external key in any version', '0100000007', 'NORMAL:-KX-ALL:+PSK:+DHE-PSK:+ECDHE-PSK'],
] as const) {
  peerTest(`gnutls does GET and PUT by ${name}, the key being late`, ['gnutls-cli'], async (t) => {
    const { said, refusals } = await ask(t, uaProtocolId, priority)
    assert.ok(said.includes(`GET by psk ${PSK_BTID} ${uaProtocolId} ${PSK_NAF}`), said)
    assert.ok(said.includes(`PUT by psk ${PSK_BTID} ${uaProtocolId} ${PSK_NAF}`), said)
    assert.deepEqual(refusals, [])
  })
}

for (const [name, uaProtocolId, priority] of [
  ['DHE_PSK and AES-128', '01000100aa', TLS12('DHE-PSK', 'AES-128-GCM')],
  ['DHE_PSK and AES-256', '01000100ab', TLS12('DHE-PSK', 'AES-256-GCM')],
  ['DHE_PSK and ChaCha20', '010001ccad', TLS12('DHE-PSK', 'CHACHA20-POLY1305')],
  ['ECDHE_PSK and ChaCha20', '010001ccac', TLS12('ECDHE-PSK', 'CHACHA20-POLY1305')],
  ['PSK and AES-128', '01000100a8', TLS12('PSK', 'AES-128-GCM')],
  ['an external key in TLS 1.3', '0100000007', TLS13],
] as const) {
  peerTest(`libgnutls does GET and PUT by ${name}, the key being late`, ['python3', 'gnutls-cli'], async (t) => {
    const { port, refusals } = await servePsk(t)
    const how = [String(port), PSK_NAF, identity, pskOf(uaProtocolId), priority]
    const said = await askThrough('python3', [client, ...how])
    assert.ok(said.includes(`GET by psk ${PSK_BTID} ${uaProtocolId} ${PSK_NAF}`), said)
    assert.ok(said.includes(`PUT by psk ${PSK_BTID} ${uaProtocolId} ${PSK_NAF}`), said)
    assert.deepEqual(refusals, [])
  })
}

peerTest('gnutls is told that its identity is unknown in TLS 1.2', ['gnutls-cli'], async (t) => {
  const { said, refusals } = await ask(t, '01000100a8', TLS12('PSK', 'AES-128-GCM'), identity.replace('Bwc', 'Cwc'))
  assert.match(said, /Received alert \[115\]/)
  assert.deepEqual(refusals, ['identity-unknown'])
})

for (const [version, priority] of [
  ['1.2', TLS12('PSK', 'AES-128-GCM')],
  ['1.3', TLS13],
] as const) {
  peerTest(`gnutls with a wrong key is refused in TLS ${version}`, ['gnutls-cli'], async (t) => {
    const { said, refusals } = await ask(t, '0100000002', priority)
    assert.match(said, /Received alert \[(?:20|51)\]/)
    assert.doesNotMatch(said, / by psk /)
    assert.deepEqual(refusals, ['handshake-failed'])
  })
}
