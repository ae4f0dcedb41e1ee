import assert from 'node:assert/strict'
import type { TestContext } from 'node:test'
import { formatPskIdentity } from '../../src/core/psk-identity.ts'
import { peerTest } from '../support/peer.ts'
import { askThrough, PSK_BTID, PSK_NAF, pskOf, servePsk } from '../support/psk-peer.ts'

const identity = formatPskIdentity(PSK_BTID)

async function ask(t: TestContext, uaProtocolId: string, options: readonly string[], name = identity) {
  const { port, refusals } = await servePsk(t)
  const to = ['-quiet', '-connect', `127.0.0.1:${port}`, '-servername', PSK_NAF]
  const by = ['-psk_identity', name, '-psk', pskOf(uaProtocolId)]
  const said = await askThrough('openssl', ['s_client', ...to, ...by, ...options])
  return { said, refusals }
}

const TLS12 = (suite: string) => ['-tls1_2', '-cipher', suite]
const TLS13 = (suite: string) => ['-tls1_3', '-ciphersuites', suite]

for (const [uaProtocolId, options] of [
  ['01000100a8', TLS12('PSK-AES128-GCM-SHA256')],
  ['01000100a9', TLS12('PSK-AES256-GCM-SHA384')],
  ['010001ccab', TLS12('PSK-CHACHA20-POLY1305')],
  ['01000100aa', TLS12('DHE-PSK-AES128-GCM-SHA256')],
  ['01000100ab', TLS12('DHE-PSK-AES256-GCM-SHA384')],
  ['010001ccad', TLS12('DHE-PSK-CHACHA20-POLY1305')],
  ['010001ccac', TLS12('ECDHE-PSK-CHACHA20-POLY1305')],
  ['010001ccac', TLS12('PSK')],
  ['0100000007', TLS13('TLS_AES_128_GCM_SHA256')],
  ['0100000007', TLS13('TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256')],
  ['0100000007', []],
] as const) {
  peerTest(`openssl does GET and PUT by key, the key being late: ${options.join(' ')}`, ['openssl'], async (t) => {
    const { said, refusals } = await ask(t, uaProtocolId, options)
    assert.ok(said.includes(`GET by psk ${PSK_BTID} ${uaProtocolId} ${PSK_NAF}`), said)
    assert.ok(said.includes(`PUT by psk ${PSK_BTID} ${uaProtocolId} ${PSK_NAF}`), said)
    assert.deepEqual(refusals, [])
  })
}

const unknown = identity.replace('Bwc', 'Cwc')

peerTest('openssl is told by alert 115 that its identity is unknown in TLS 1.2', ['openssl'], async (t) => {
  const { said, refusals } = await ask(t, '01000100a8', TLS12('PSK-AES128-GCM-SHA256'), unknown)
  assert.match(said, /alert number 115/)
  assert.deepEqual(refusals, ['identity-unknown'])
})

peerTest(
  'openssl gets a certificate for an unknown identity in TLS 1.3, and proves nothing',
  ['openssl'],
  async (t) => {
    const { said, refusals } = await ask(t, '0100000007', TLS13('TLS_AES_128_GCM_SHA256'), unknown)
    assert.match(said, /GET by certificate/)
    assert.deepEqual(refusals, ['identity-unknown'])
  },
)

for (const [version, options] of [
  ['1.2', TLS12('PSK-AES128-GCM-SHA256')],
  ['1.3', TLS13('TLS_AES_128_GCM_SHA256')],
] as const) {
  peerTest(`openssl with a wrong key is refused in TLS ${version}`, ['openssl'], async (t) => {
    const { said, refusals } = await ask(t, '0100000002', options)
    assert.match(said, /alert (?:decrypt error|bad record mac)/)
    assert.doesNotMatch(said, / by /)
    assert.deepEqual(refusals, ['handshake-failed'])
  })
}

peerTest('openssl gets no further with a suite of CBC', ['openssl'], async (t) => {
  const { said } = await ask(t, '01000100ae', TLS12('PSK-AES128-CBC-SHA256'))
  assert.match(said, /alert handshake failure/)
})
