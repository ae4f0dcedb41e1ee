import assert from 'node:assert/strict'
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { runCli } from '../../src/cli/index.ts'
import { parseFqdn } from '../../src/core/identity.ts'
import { makeLabPki } from '../../src/tls/issue.ts'
import { writePki } from '../../src/tls/pki-files.ts'
import { emptyFolder, ROOT, removed } from '../support/package.ts'
import { peerTest } from '../support/peer.ts'
import { run } from '../support/programs.ts'

const EXAMPLES = join(ROOT, 'deploy', 'examples')
const named = (text: string) => parseFqdn(text) ?? assert.fail(text)

/** As /etc/gba-proxy would be: certificates and subscribers beside the configuration. */
let site: string
before(async () => {
  site = await emptyFolder('examples')
  const names = {
    naf: [named('xcap.ims.mnc001.mcc001.pub.3gppnetwork.org')],
    bsf: [named('bsf.mnc001.mcc001.pub.3gppnetwork.org')],
    znClients: [{ name: named('ap') }],
  }
  await writePki(join(site, 'certs'), await makeLabPki({ names, now: Date.now(), validDays: 60 }))
  copyFileSync(join(ROOT, 'deploy', 'subscribers.example.yaml'), join(site, 'subscribers.yaml'))
  chmodSync(join(site, 'subscribers.yaml'), 0o600)
})
after(() => removed(site))

async function check(file: string) {
  const text = { stdout: '', stderr: '' }
  const code = await runCli(['check', '--config', file], {
    stdout: { write: (chunk) => (text.stdout += String(chunk)) },
    stderr: { write: (chunk) => (text.stderr += String(chunk)) },
    env: {},
    signal: new AbortController().signal,
  })
  return { code, ...text }
}

const examples: readonly (readonly [file: string, roles: string])[] = [
  ['behind-haproxy.yaml', 'ap, bsf, hss'],
  ['cluster-bsf.yaml', 'bsf, hss'],
  ['cluster.yaml', 'ap'],
  ['kamailio.yaml', 'ap, bsf, hss'],
  ['lab.yaml', 'ap, bsf, hss, as'],
  ['openxcap.yaml', 'ap, bsf, hss'],
  ['single-host.yaml', 'ap, bsf, hss'],
]

describe('the example configurations', () => {
  test('are those that this test knows', () => {
    assert.deepEqual(
      readdirSync(EXAMPLES).sort(),
      examples.map(([file]) => file),
    )
  })

  for (const [name, roles] of examples) {
    test(`are good without a warning: ${name}`, async () => {
      const file = join(site, name)
      copyFileSync(join(EXAMPLES, name), file)
      assert.deepEqual(await check(file), { code: 0, stdout: `${file}: good; roles: ${roles}\n`, stderr: '' })
    })
  }

  test('are good with their commented keys, too: single-host.yaml', async () => {
    const text = readFileSync(join(EXAMPLES, 'single-host.yaml'), 'utf8')
    const uncommented = text.replaceAll(/^# (process:| {2}user: .*)$/gm, '$1')
    assert.notEqual(uncommented, text)
    const file = join(site, 'uncommented.yaml')
    writeFileSync(file, uncommented)
    assert.deepEqual((await check(file)).stderr, '')
  })

  peerTest('have lines for haproxy.cfg that HAProxy takes', ['haproxy'], async () => {
    const comments = readFileSync(join(EXAMPLES, 'behind-haproxy.yaml'), 'utf8').matchAll(/^# (?: ?)( .*)$/gm)
    const lines = [...comments].map(([, line = '']) => line)
    const at = lines.findIndex((line) => line.includes('frontend ua'))
    const end = lines.findIndex((line) => line.includes('send-proxy-v2 '))
    const ended = lines.find((line) => line.includes('send-proxy-v2-ssl')) ?? assert.fail('no line for tls: front')
    mkdirSync(join(site, 'haproxy'))
    const config = join(site, 'haproxy', 'haproxy.cfg')
    const defaults = 'defaults\n  timeout connect 5s\n  timeout client 10s\n  timeout server 10s\n'
    writeFileSync(
      config,
      `${defaults}${lines.slice(at, end + 1).join('\n')}\nbackend ended\n  mode http\n  http-reuse never\n${ended}\n`,
    )
    const { status, stdout, stderr } = await run('haproxy', ['-c', '-f', config])
    assert.equal(status, 0, `${stdout}${stderr}`)
  })
})
