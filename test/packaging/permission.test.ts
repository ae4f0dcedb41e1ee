import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { stringify } from 'yaml'
import { freePorts, impuOf, LAB_NAF, labConfig, prepareLab, writeSims } from '../../src/lab.ts'
import { emptyFolder, ROOT, removed } from '../support/package.ts'
import { run, start } from '../support/programs.ts'

const MAIN = join(ROOT, 'src', 'main.ts')
const DROP_IN = join(ROOT, 'deploy', 'systemd', 'permission.conf')
const LIST = '<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"/>'

/** Where Node takes these very options; later ones want --allow-net besides, as the file says. */
const isNode24 = process.versions.node.startsWith('24.')

describe("the drop-in with Node's permissions", { skip: !isNode24 && 'it is for Node 24' }, () => {
  let site: string
  let options: string
  const inSite = (text: string) =>
    text
      .replaceAll('/usr/local/lib/node_modules/gba-proxy', ROOT)
      .replaceAll(/\/(etc|var\/lib|var\/log)\/gba-proxy/g, (path) => join(site, path))

  before(async () => {
    site = await emptyFolder('permission')
    for (const path of ['etc/gba-proxy', 'var/lib/gba-proxy', 'var/log/gba-proxy']) {
      await mkdir(join(site, path), { recursive: true })
    }
    const [, found = ''] = /^Environment="NODE_OPTIONS=(.*)"$/m.exec(await readFile(DROP_IN, 'utf8')) ?? []
    options = inSite(found)
    await prepareLab(join(site, 'etc/gba-proxy'), { randomBytes, now: Date.now() })
  })
  after(() => removed(site))

  test('lets two workers serve a UE, with the keys made before', async () => {
    const etc = join(site, 'etc/gba-proxy')
    const state = join(site, 'var/lib/gba-proxy')
    const [, before = ''] =
      /^ExecStartPre=.* \/usr\/local\/bin\/gba-proxy (.*)$/m.exec(await readFile(DROP_IN, 'utf8')) ?? []
    const made = await run(process.execPath, [MAIN, ...inSite(before).split(' ')])
    assert.equal(made.status, 0, made.stderr)
    const ports = await freePorts()
    const config = labConfig(etc, ports, {
      log: { level: 'info', auditFile: join(site, 'var/log/gba-proxy/audit.log') },
      store: { kind: 'lmdb', directory: state },
    })
    const file = join(etc, 'gba-proxy.yaml')
    await writeFile(file, stringify({ ...JSON.parse(JSON.stringify(config)), workers: 2 }))
    writeSims(etc, ports)
    const server = await start(
      process.execPath,
      [MAIN, 'serve', '--config', file],
      ({ stderr }) => / up; /.test(stderr()),
      { env: { ...process.env, NODE_OPTIONS: options } },
    )
    try {
      const sim = join(etc, 'sims', 'alice.yaml')
      const url = `https://${LAB_NAF}/resource-lists/users/${impuOf('alice')}/index`
      const put = await run(process.execPath, [MAIN, 'ue', '--sim', sim, '-i', '-X', 'PUT', '-d', LIST, url])
      assert.match(put.stdout, /^HTTP\/1\.1 201 /, put.stderr)
      process.kill(server.pid, 'SIGHUP')
      const get = await run(process.execPath, [MAIN, 'ue', '--sim', sim, url])
      assert.equal(get.stdout, LIST)
      assert.doesNotMatch(server.stdout(), /ERR_ACCESS_DENIED/)
    } finally {
      assert.equal(await server.stop(), 0)
    }
  })

  test('keeps it out of every other folder', async () => {
    const other = join(site, 'other.yaml')
    await writeFile(other, 'as: {}\n')
    const env = { ...process.env, NODE_OPTIONS: options }
    const { status, stderr } = await run(process.execPath, [MAIN, 'check', '--config', other], { env })
    assert.equal(status, 2)
    assert.match(stderr, /cannot be read \(ERR_ACCESS_DENIED\)/)
  })
})
