import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { impuOf, LAB_NAF } from '../../src/lab.ts'
import { writeRevocations } from '../../src/tls/pki-files.ts'
import { openAllDoors } from '../support/door-ue.ts'
import { testLab } from '../support/lab.ts'
import { peerTest } from '../support/peer.ts'

const OWN = `https://${LAB_NAF}/resource-lists/users/${impuOf('alice')}/index`

for (const version of ['1.2', '1.3']) {
  peerTest(`curl with a client certificate does GET and PUT in TLS ${version}`, ['curl'], async () => {
    const lab = await testLab({ recording: true, prepare: openAllDoors })
    try {
      const curl = asCurl(lab.directory, lab.app.addresses.ap?.port ?? 0, version)
      assert.equal(await curl('alice', OWN), '200')
      assert.equal(await curl('alice', '-T', join(lab.directory, 'subscribers.yaml'), OWN), '200')
      assert.equal(await curl('bob', OWN), '403')
      const [seen] = lab.seen
      assert.equal(seen?.rawHeaders[seen.rawHeaders.indexOf('x-3gpp-asserted-identity') + 1], `"${impuOf('alice')}"`)
      assert.deepEqual([lab.seen.length, lab.app.audit.count('zh.av-drawn')], [2, 0])
    } finally {
      await lab.close()
    }
  })
}

peerTest('curl with a certificate that was revoked is refused, once the list is there', ['curl'], async () => {
  const lab = await testLab({
    recording: true,
    async prepare(directory) {
      const certs = join(directory, 'certs')
      const ap = await openAllDoors(directory)
      await writeRevocations(certs, { now: Date.now() - 60_000, validDays: 1 })
      const crlFile = join(certs, 'ca.crl')
      return { ...ap, subscriberCertificates: { caFile: join(certs, 'ca.pem'), crlFile } }
    },
  })
  try {
    const curl = asCurl(lab.directory, lab.app.addresses.ap?.port ?? 0, '1.3')
    assert.equal(await curl('alice', OWN), '200')
    const certs = join(lab.directory, 'certs')
    const before = await readFile(join(certs, 'ca.crl'), 'utf8')
    await writeRevocations(certs, { now: Date.now() - 30_000, validDays: 1, file: 'sub-alice.pem' })
    assert.ok(lab.app.reload())
    assert.equal(await curl('alice', OWN), '403')
    assert.equal(lab.decisions.at(-1)?.record.code, 'UA_CERTIFICATE_REFUSED')
    // A list that cannot be read changes nothing.
    await writeFile(join(certs, 'ca.crl'), before.slice(0, 100))
    assert.ok(!lab.app.reload())
    assert.equal(await curl('alice', OWN), '403')
  } finally {
    await lab.close()
  }
})

/** @returns the status */
function asCurl(directory: string, port: number, version: string) {
  const certs = join(directory, 'certs')
  return async (name: 'alice' | 'bob', ...rest: string[]) => {
    const by = ['--cert', join(certs, `sub-${name}.pem`), '--key', join(certs, `sub-${name}.key`)]
    const to = ['--cacert', join(certs, 'ca.pem'), '--connect-to', `${LAB_NAF}:443:127.0.0.1:${port}`]
    const pin = [`--tlsv${version}`, '--tls-max', version]
    const shown = ['-s', '-o', '/dev/null', '-w', '%{http_code}', '-m', '20']
    return (await promisify(execFile)('curl', [...by, ...to, ...pin, ...shown, ...rest])).stdout
  }
}
