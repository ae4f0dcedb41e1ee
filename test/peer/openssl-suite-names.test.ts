import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { CIPHER_SUITES } from '../../src/core/naf-id.ts'
import { opensslSuite } from '../../src/core/openssl-suites.ts'
import { peerTest } from '../support/peer.ts'

peerTest('openssl calls our cipher suites what we believe it does', ['openssl'], () => {
  const args = ['ciphers', '-V', '-stdname', 'ALL:COMPLEMENTOFALL:@SECLEVEL=0']
  const lines = execFileSync('openssl', args, { encoding: 'utf8' }).matchAll(/ - (TLS_\w+) +- (\S+) /g)
  const theirs = new Map([...lines].map(([, iana = '', name = '']) => [iana, name]))
  const shared = [...CIPHER_SUITES.keys()].filter((iana) => theirs.has(iana))
  assert.ok(shared.length >= 48, `only ${shared.length} of ours are known to it`)
  for (const iana of shared) assert.equal(opensslSuite(iana), theirs.get(iana), iana)
})
