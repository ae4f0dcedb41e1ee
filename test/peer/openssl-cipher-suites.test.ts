import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { CIPHER_SUITES } from '../../src/core/naf-id.ts'
import { peerTest } from '../support/peer.ts'

peerTest('openssl gives our cipher suites the same code points', ['openssl'], () => {
  const tls13 = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_CCM_SHA256'
  const options = ['ciphers', '-V', '-stdname', '-ciphersuites', tls13, 'ALL:@SECLEVEL=0']
  const lines = execFileSync('openssl', options, { encoding: 'utf8' }).matchAll(/0x(\w\w),0x(\w\w) - (\w+)/g)
  const theirs = new Map([...lines].map(([, high, low, name = '']) => [name, Number.parseInt(`${high}${low}`, 16)]))
  const shared = [...CIPHER_SUITES].filter(([name]) => theirs.has(name))
  assert.ok(shared.length >= 50, `only ${shared.length} of ours are known to it`)
  for (const [name, code] of shared) assert.equal(code, theirs.get(name), name)
})
