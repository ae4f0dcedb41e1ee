import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { chmod, cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { parse, stringify } from 'yaml'
import { freePorts, impuOf, LAB_NAF } from '../../src/lab.ts'
import { emptyFolder, install, type Packed, pack, ROOT, removed, withOurNode } from '../support/package.ts'
import { run, start } from '../support/programs.ts'

const LIST = '<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"/>'
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))

let folder: string
let packed: Packed
let program: string
const gbaProxy = (...args: string[]) => run(program, args, { cwd: folder, env: withOurNode })
const lines = (text: string) => text.split('\n').slice(0, -1)

before(async () => {
  folder = await emptyFolder('tarball')
  packed = await pack(folder)
  await mkdir(join(folder, 'installed'))
  program = await install(packed.tarball, join(folder, 'installed'))
})
after(() => removed(folder))

describe('the tarball', () => {
  test('holds the program, its types, examples and documents, and nothing of its making', () => {
    const odd = packed.files
      .map(({ path }) => path)
      .filter((path) => !/^dist\/.+\.(?:js|d\.ts)$|^deploy\//.test(path))
      .sort()
    assert.deepEqual(odd, ['CHANGELOG.md', 'LICENSE', 'README.md', 'certs/README.md', 'package.json'])
    const withKeys = packed.files.filter(({ path }) => /\.(?:key|pem|test\.|tgz)|node_modules|tsbuildinfo/.test(path))
    assert.deepEqual(withKeys, [])
  })

  test('has each module of the sources, as JavaScript and types', () => {
    const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .flatMap((path) => [path.replace(/\.ts$/, '.js'), path.replace(/\.ts$/, '.d.ts')])
    const built = packed.files.flatMap(({ path }) => (path.startsWith('dist/') ? [path.slice('dist/'.length)] : []))
    assert.deepEqual(built.sort(), sources.sort())
  })

  test('names no TypeScript file in its JavaScript: Node strips no types below node_modules', () => {
    const dist = join(folder, 'sources', 'dist')
    const naming = readdirSync(dist, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.js'))
      .filter((path) => /\b(?:from|import)\b\s*\(?\s*'\.[^']*\.ts'/.test(readFileSync(join(dist, path), 'utf8')))
    assert.deepEqual(naming, [])
  })
})

describe('installed in an empty folder, it', () => {
  test('says what it is', async () => {
    assert.deepEqual(await gbaProxy('--version'), { status: 0, stdout: `gba-proxy ${version}\n`, stderr: '' })
    const { status, stdout } = await gbaProxy('--help')
    assert.equal(status, 0)
    assert.match(stdout, /serve +run the roles/)
  })

  test('is imported by its name, and nothing behind that', async () => {
    const script = `const all = await import('gba-proxy')
      const behind = await import('gba-proxy/dist/app.js').catch(({ code }) => code)
      console.log(typeof all.createUe, typeof all.startApp, behind)`
    const { stdout, stderr } = await run(process.execPath, ['--input-type=module', '-e', script], {
      cwd: join(folder, 'installed'),
    })
    assert.deepEqual([stdout, stderr], ['function function ERR_PACKAGE_PATH_NOT_EXPORTED\n', ''])
  })

  test('has types that are more than any', async () => {
    const file = join(folder, 'installed', 'consumer.mts')
    await writeFile(
      file,
      `import { createUe, loadSim, type Ue } from 'gba-proxy'
const ue: Ue = createUe(await loadSim('alice.yaml'))
const answer = await ue.request('GET', 'https://xcap.example.org/')
export const status: number = answer.status
// @ts-expect-error: no such method
ue.nothing()
`,
    )
    const { status, stdout } = await run(
      process.execPath,
      [
        join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'),
        ...['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', '--target', 'es2024'],
        ...['--lib', 'es2024,esnext.disposable', '--types', 'node'],
        ...['--typeRoots', join(ROOT, 'node_modules', '@types'), '--ignoreConfig', file],
      ],
      { cwd: join(folder, 'installed') },
    )
    assert.deepEqual([status, stdout], [0, ''])
  })

  test('is a lab, in which a UE bootstraps, writes and reads, by Digest and by PSK', async () => {
    const directory = join(folder, 'lab')
    const lab = await start(
      program,
      ['lab', '--free-ports', '--dir', directory],
      ({ stdout }) => stdout().includes('lab is up'),
      { cwd: folder, env: withOurNode },
    )
    try {
      assert.match(lab.stdout(), /^ {2}gba-proxy ue --sim/m)
      const sim = join(directory, 'sims', 'alice.yaml')
      const url = `https://${LAB_NAF}/resource-lists/users/${impuOf('alice')}/index`
      const put = await gbaProxy('ue', '--sim', sim, '-i', '-X', 'PUT', '-d', LIST, url)
      assert.match(put.stdout, /^HTTP\/1\.1 201 /)
      assert.deepEqual(await gbaProxy('ue', '--sim', sim, url), { status: 0, stdout: LIST, stderr: '' })
      assert.deepEqual(await gbaProxy('ue', '--sim', sim, '--psk', url), { status: 0, stdout: LIST, stderr: '' })
    } finally {
      assert.equal(await lab.stop(), 0)
    }
  })

  test('serves the example that comes with it, from two workers', async () => {
    const site = join(folder, 'site')
    await cp(join(folder, 'installed', 'node_modules', 'gba-proxy', 'deploy'), site, { recursive: true })
    await chmod(join(site, 'subscribers.example.yaml'), 0o600)
    assert.equal((await gbaProxy('certs', 'make', '--dir', join(folder, 'certs'))).status, 0)
    const ports = await freePorts()
    const edit = async (name: string, change: (value: Record<string, never>) => object) =>
      writeFile(join(site, name), stringify(change(parse(await readFile(join(site, name), 'utf8')))))
    await edit('config.example.yaml', ({ bsf, ap, as, ...rest }: Record<string, Record<string, object>>) => ({
      ...rest,
      workers: 2,
      bsf: { ...bsf, ub: { ...bsf?.ub, port: ports.ub } },
      ap: { ...ap, port: ports.ap, appServers: [{ name: 'xdms', url: `http://127.0.0.1:${ports.as}` }] },
      as: { ...as, port: ports.as },
    }))
    await edit('sim.example.yaml', ({ connect, ...rest }: Record<string, object>) => ({
      ...rest,
      connect: Object.fromEntries(
        Object.keys(connect ?? {}).map((name) => [name, `127.0.0.1:${name.startsWith('bsf') ? ports.ub : ports.ap}`]),
      ),
    }))
    const config = join(site, 'config.example.yaml')
    const checked = await gbaProxy('check', '--config', config)
    assert.deepEqual([checked.status, checked.stderr], [0, ''])
    const server = await start(program, ['serve', '--config', config], ({ stderr }) => / up; /.test(stderr()), {
      cwd: folder,
      env: withOurNode,
    })
    try {
      assert.match(server.stderr(), /; 2 workers\n$/)
      const sim = join(site, 'sim.example.yaml')
      const url = `https://${LAB_NAF}/resource-lists/users/sip:alice@ims.mnc001.mcc001.3gppnetwork.org/index`
      const put = await gbaProxy('ue', '--sim', sim, '-i', '-X', 'PUT', '-d', LIST, url)
      assert.match(put.stdout, /^HTTP\/1\.1 201 /)
      assert.deepEqual(await gbaProxy('ue', '--sim', sim, url), { status: 0, stdout: LIST, stderr: '' })
      const up = lines(server.stdout()).filter((line) => JSON.parse(line).event === 'worker.up')
      assert.equal(up.length, 2)
    } finally {
      assert.equal(await server.stop(), 0)
    }
  })
})
