import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { deployment } from '../support/deployment.ts'
import { run } from '../support/programs.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

test('a host whose files are not good ends and says which, though its Redis is not there yet', async () => {
  const site = await deployment()
  try {
    assert.equal((await site.cli('certs', 'make', '--dir', 'certs', '--zn-client', 'ap')).status, 0)
    assert.equal((await site.cli('keys', '--dir', 'keys')).status, 0)
    await site.vary('ap.yaml', 'hosted.yaml', (config) => {
      // Nobody listens on the port of discard.
      config.store = { kind: 'redis', redis: { nodes: ['127.0.0.1:9'], keysDirectory: '../keys' } }
    })
    const serve = () =>
      run(process.execPath, [MAIN, 'serve', '--config', join('deploy', 'hosted.yaml')], {
        cwd: site.directory,
        timeoutMs: 15_000,
      })
    const key = join(site.directory, 'certs', 'zn-ap.key')
    await writeFile(key, 'no key')
    const spoilt = await serve()
    assert.equal(spoilt.status, 2, spoilt.stderr)
    assert.match(spoilt.stderr, /zn-ap\.key/)
    await rm(key)
    const missing = await serve()
    assert.equal(missing.status, 2, missing.stderr)
    assert.match(missing.stderr, /zn-ap\.key/)
  } finally {
    await site.close()
  }
})
