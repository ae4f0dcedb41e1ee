import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, chownSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { ConfigError } from '../../src/config/config-error.ts'
import { impuOf, LAB_NAF, labConfig, prepareLab, writeSims } from '../../src/lab.ts'
import { type Identity, lendRoot } from '../../src/privileges.ts'
import { run, start } from '../support/programs.ts'
import { eventually } from '../support/workers.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
/** `nobody` wherever there is one; a number needs no entry in /etc/passwd. */
const NOBODY = 65_534
/** Below 1024, and on an address of loopback that no other test uses. */
const HOST = '127.88.0.1'
const PORTS = { ub: 880, zn: 884, ap: 843, as: 885 }

/** Why this machine cannot show it, if it cannot. */
function obstacle(): string | false {
  if (process.getuid?.() !== 0) return 'only root has privileges to drop'
  const look = ['-e', `fs.accessSync(${JSON.stringify(MAIN)})`]
  if (spawnSync(process.execPath, look, { uid: NOBODY, gid: NOBODY }).status !== 0)
    return 'nobody cannot read this clone'
  return false
}

let directory: string
before(async () => {
  directory = mkdtempSync(join(tmpdir(), 'gba-proxy-privileges-'))
  await prepareLab(directory, {
    randomBytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
    now: Date.now(),
  })
  writeSims(directory, PORTS)
  for (const name of readdirSync(join(directory, 'sims'))) {
    const file = join(directory, 'sims', name)
    writeFileSync(file, readFileSync(file, 'utf8').replaceAll('127.0.0.1:', `${HOST}:`))
  }
})
after(() => rmSync(directory, { recursive: true, force: true }))

/** The lab on ports below 1024 with a folder of the store that is yet to be made. */
function configFile(name: string, changes: object): string {
  const listening = { host: HOST }
  const config = JSON.parse(
    JSON.stringify(
      labConfig(directory, PORTS, {
        log: { level: 'info', identities: 'clear' },
        store: { kind: 'lmdb', directory: join(directory, `state-${name}`) },
        bsf: { ub: listening },
        ap: { ...listening, appServers: [{ name: 'lab', url: `http://${HOST}:${PORTS.as}` }] },
        as: listening,
      }),
    ),
  )
  config.bsf.zn.host = HOST
  const file = join(directory, `${name}.yaml`)
  writeFileSync(file, stringify({ ...config, ...changes }))
  return file
}

function ownedByNobody(): void {
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.name.startsWith('state-')) chownSync(join(entry.parentPath, entry.name), NOBODY, NOBODY)
  }
  chmodSync(directory, 0o755)
}

const serve = (file: string) =>
  start(process.execPath, [MAIN, 'serve', '--config', file], ({ stderr }) => / up; /.test(stderr()))

/** Who a process is, as the kernel has it. */
function whoIs(pid: number): Record<string, string> {
  const lines = readFileSync(`/proc/${pid}/status`, 'utf8').split('\n')
  return Object.fromEntries(lines.map((line) => line.split(/:\s+/).map((part) => part.replaceAll('\t', ' ').trim())))
}

const NOBODY_AT_ALL = `${NOBODY} ${NOBODY} ${NOBODY} ${NOBODY}`

function assertUnprivileged(pid: number): void {
  const { Uid, Gid, Groups, CapPrm, CapEff, CapAmb } = whoIs(pid)
  assert.deepEqual([Uid, Gid, Groups], [NOBODY_AT_ALL, NOBODY_AT_ALL, String(NOBODY)])
  // root owns what the kernel shows of a process that it would not dump
  assert.equal(statSync(`/proc/${pid}/environ`).uid, 0)
  for (const capabilities of [CapPrm, CapEff, CapAmb]) assert.match(capabilities ?? '', /^0+$/)
}

async function isServed(): Promise<void> {
  const sim = join(directory, 'sims', 'alice.yaml')
  const url = `https://${LAB_NAF}/resource-lists/users/${impuOf('alice')}/index`
  const { stdout, stderr } = await run(process.execPath, [MAIN, 'ue', '--sim', sim, '--new-bootstrap', '-i', url])
  assert.match(stdout, /^HTTP\/1\.1 404 /, stderr)
}

const settled = (t: TestContext, running: Awaited<ReturnType<typeof serve>>) => {
  t.after(() => running.stop())
  return running
}

describe('started by root on ports below 1024', { skip: obstacle() }, () => {
  before(ownedByNobody)

  test('it is another user once they are taken, and serves', async (t) => {
    const server = settled(t, await serve(configFile('one', { process: { user: String(NOBODY) } })))
    assertUnprivileged(server.pid)
    await isServed()
    const state = join(directory, 'state-one')
    for (const path of [state, ...readdirSync(state).map((name) => join(state, name))]) {
      const { uid, gid, mode } = statSync(path)
      assert.deepEqual([uid, gid, mode & 0o077], [NOBODY, NOBODY, 0], path)
    }
    process.kill(server.pid, 'SIGHUP')
    await isServed()
    assert.equal(await server.stop(), 0)
  })

  test('each of its workers is, and one that takes the place of another, too', async (t) => {
    const file = configFile('workers', { workers: 2, process: { user: 'nobody', group: String(NOBODY) } })
    const server = settled(t, await serve(file))
    const workers = () =>
      new Map(
        server
          .stdout()
          .split('\n')
          .filter((line) => line.includes('"worker.up"'))
          .map((line) => JSON.parse(line))
          .map(({ of, pid }): [number, number] => [of, pid]),
      )
    await eventually('two are up', () => workers().size === 2)
    for (const pid of workers().values()) assertUnprivileged(pid)
    const first = workers().get(2) ?? 0
    process.kill(first, 'SIGKILL')
    await eventually('there is another', () => workers().get(2) !== first)
    assertUnprivileged(workers().get(2) ?? 0)
    await isServed()
    assert.equal(whoIs(server.pid).Uid, '0 0 0 0')
    assert.equal(await server.stop(), 0)
  })

  test('it does not start with a key that it could not read again', async (t) => {
    const key = join(directory, 'certs', 'ap.key')
    chownSync(key, 0, 0)
    t.after(() => chownSync(key, NOBODY, NOBODY))
    const file = configFile('key', { process: { user: String(NOBODY) } })
    const { status, stderr } = await run(process.execPath, [MAIN, 'serve', '--config', file])
    assert.equal(status, 2)
    assert.match(stderr, /ap\.key: cannot be read \(EACCES\)/)
  })

  for (const [key, account] of [
    ['process.user', { user: 'no-such-user', group: '65534' }],
    ['process.group', { user: '65534', group: 'no-such-group' }],
    ['process.user', { user: 'root' }],
    ['process.user', { user: '0' }],
  ] as const) {
    test(`it does not start as ${JSON.stringify(account)}`, async () => {
      const file = configFile('odd', { process: account })
      const { status, stderr } = await run(process.execPath, [MAIN, 'serve', '--config', file])
      assert.equal(status, 2)
      assert.ok(stderr.startsWith(`${file}: ${key}: `), stderr)
    })
  }

  test('it says so when it stays root', async (t) => {
    const server = settled(t, await serve(configFile('root', {})))
    assert.match(server.stdout(), /"setting":"process\.user".*"process\.stays-root"/)
  })
})

describe('what root lends', () => {
  const store = { kind: 'memory' } as Parameters<typeof lendRoot>[0]['store']
  const config = (user: string, group = '') => ({ process: { user, group }, store })

  /** A process that only notes what it is asked for. */
  function noted(uid: number, mayReturn = false) {
    const calls: string[] = []
    let [real, effective] = [uid, uid]
    const note =
      (name: string, act: (id: number) => void = () => {}) =>
      (id: unknown) => {
        calls.push(`${name} ${id}`)
        if (name === 'seteuid' && id === 0 && real !== 0) throw Object.assign(new Error(), { code: 'EPERM' })
        act(Number(id))
      }
    const identity = {
      getuid: () => real,
      geteuid: () => effective,
      getegid: () => 7,
      setuid: note('setuid', (id) => {
        if (!mayReturn) [real, effective] = [id, id]
      }),
      setgid: note('setgid'),
      seteuid: note('seteuid', (id) => {
        effective = id
      }),
      setegid: note('setegid'),
      setgroups: note('setgroups'),
      initgroups: note('initgroups'),
    } as unknown as Identity
    return { identity, calls, effective: () => effective }
  }

  test('is nothing where root did not start it, or nobody is named', () => {
    assert.equal(lendRoot(config('7'), 'x.yaml', noted(7).identity), undefined)
    assert.equal(lendRoot(config(''), 'x.yaml', noted(0).identity), undefined)
  })

  test('is there while ports are taken, even if that fails, and then no more', async () => {
    const { identity, calls, effective } = noted(0)
    const privileges = lendRoot(config('7'), 'x.yaml', identity)
    assert.equal(effective(), 7)
    assert.equal(await privileges?.asRoot(async () => effective()), 0)
    await assert.rejects(async () => privileges?.asRoot(() => Promise.reject(new Error('taken'))))
    assert.equal(effective(), 7)
    privileges?.drop()
    assert.deepEqual(calls.slice(0, 3), ['setegid 7', 'setgroups 7', 'seteuid 7'])
    assert.deepEqual(calls.slice(-4), ['seteuid 0', 'setgid 7', 'setuid 7', 'seteuid 0'])
  })

  test('is a bug of ours where it would still be there afterwards', () => {
    assert.throws(() => lendRoot(config('7'), 'x.yaml', noted(0, true).identity)?.drop(), TypeError)
  })

  test('cannot go to root', () => {
    assert.throws(() => lendRoot(config('0'), 'x.yaml', noted(0).identity), ConfigError)
  })
})
