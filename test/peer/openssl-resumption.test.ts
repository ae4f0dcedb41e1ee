import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe } from 'node:test'
import { LAB_NAF } from '../../src/lab.ts'
import { peerTest } from '../support/peer.ts'
import { run } from '../support/programs.ts'
import { impuOfCard, type WorkersSite, workersSite } from '../support/workers.ts'

const KEY_LIFETIME_S = 900
/** Enough that each worker is met, with all probability. */
const TIMES = 8

describe('openssl s_client, at two workers', () => {
  let site: WorkersSite
  let caFile: string
  before(async () => {
    site = await workersSite({ workers: 2, overrides: { bsf: { keyLifetimeS: KEY_LIFETIME_S } } })
    caFile = join(site.directory, 'resumption-ca.pem')
    await writeFile(caFile, site.reached(0).ca)
    await site.start()
  })
  after(() => site.close())

  const connect = async (version: string, ...more: readonly string[]) => {
    const target = ['-connect', `127.0.0.1:${site.ap}`, '-servername', LAB_NAF, '-CAfile', caFile]
    // Tickets of TLS 1.3 come with or before the first answer.
    const stdin = `GET /resource-lists/users/${impuOfCard(0)}/index HTTP/1.1\r\nHost: ${LAB_NAF}\r\nConnection: close\r\n\r\n`
    const args = ['s_client', ...target, '-verify_return_error', '-ign_eof', `-${version}`, ...more]
    const { status, stdout, stderr } = await run('openssl', args, { stdin })
    assert.equal(status, 0, stderr)
    assert.match(stdout, /^HTTP\/1\.1 401 /m)
    return stdout
  }

  const VERSIONS = ['tls1_2', 'tls1_3']
  const sessionFile = (version: string) => join(site.directory, `${version}.session`)
  const resumesAtEach = async (version: string) => {
    for (let n = 0; n < TIMES; n++) {
      assert.match(await connect(version, '-sess_in', sessionFile(version)), /^Reused, /m)
    }
  }

  for (const version of VERSIONS) {
    peerTest(`resumes a session of ${version} at each, with a ticket that outlives no key`, ['openssl'], async () => {
      assert.match(await connect(version, '-sess_out', sessionFile(version)), /^New, /m)
      await resumesAtEach(version)
      const { stdout } = await run('openssl', ['sess_id', '-in', sessionFile(version), '-noout', '-text'])
      const hintS = Number(/ticket lifetime hint: (\d+)/.exec(stdout)?.[1])
      assert.ok(hintS > 0 && hintS <= KEY_LIFETIME_S, stdout)
    })
  }

  peerTest('resumes them after a restart of all', ['openssl'], async () => {
    assert.equal(await site.stop(), 0)
    await site.start()
    for (const version of VERSIONS) await resumesAtEach(version)
  })
})
