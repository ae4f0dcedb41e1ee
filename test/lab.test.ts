import assert from 'node:assert/strict'
import { randomBytes, X509Certificate } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { startApp } from '../src/app.ts'
import { parseImpi } from '../src/core/identity.ts'
import { loadSubscribers } from '../src/hss/subscribers.ts'
import { freePorts, impuOf, LAB_BSF, LAB_NAF, LAB_SECOND_NAF, labConfig, prepareLab, writeSims } from '../src/lab.ts'
import { createLog } from '../src/observe/log.ts'
import { createUe } from '../src/ue/flow.ts'
import { loadSim } from '../src/ue/sim.ts'
import { freshState, memoryState } from '../src/ue/state.ts'

const made: string[] = []
after(() => {
  for (const directory of made) rmSync(directory, { recursive: true, force: true })
})
async function aLab(): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'gba-lab-'))
  made.push(directory)
  await prepareLab(directory, { randomBytes, now: Date.now() })
  return directory
}

/** Every file of a directory with its mode and content. */
const filesIn = (directory: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name))
      .map((path) => [
        path.slice(directory.length + 1),
        `${(statSync(path).mode & 0o777).toString(8)} ${readFileSync(path, 'utf8')}`,
      ]),
  )

describe('what a lab is made of', () => {
  test('is for this user only, wherever a key is in it', async () => {
    const directory = await aLab()
    writeSims(directory, { ub: 8080, ap: 8443 })
    const files = filesIn(directory)
    const withKeys = Object.entries(files).filter(([, text]) => /PRIVATE KEY|opc:/.test(text))
    assert.deepEqual(
      withKeys.filter(([, text]) => !text.startsWith('600 ')).map(([name]) => name),
      [],
    )
    const sims = ['alice', 'bob', 'carol'].map((name) => join('sims', `${name}.yaml`))
    const names = withKeys.map(([name]) => name)
    assert.deepEqual(
      [...sims, 'subscribers.yaml'].filter((name) => !names.includes(name)),
      [],
    )
    assert.equal(statSync(join(directory, 'sims')).mode & 0o777, 0o700)
  })

  test('is the same when the lab is prepared again', async () => {
    const directory = await aLab()
    writeSims(directory, { ub: 8080, ap: 8443 })
    const before = filesIn(directory)
    await prepareLab(directory, { randomBytes, now: Date.now() + 1_000 })
    writeSims(directory, { ub: 8080, ap: 8443 })
    assert.deepEqual(filesIn(directory), before)
  })

  test('is made anew as far as it is gone, and kept as far as it is there', async () => {
    const directory = await aLab()
    const before = filesIn(directory)
    rmSync(join(directory, 'subscribers.yaml'))
    await prepareLab(directory, { randomBytes, now: Date.now() })
    const now = filesIn(directory)
    assert.notEqual(now['subscribers.yaml'], before['subscribers.yaml'])
    assert.deepEqual({ ...now, 'subscribers.yaml': '' }, { ...before, 'subscribers.yaml': '' })
  })

  test('has keys of its own: no two labs and no two subscribers share one', async () => {
    const labs = await Promise.all([aLab(), aLab()])
    const keys = labs.flatMap((directory) =>
      [...readFileSync(join(directory, 'subscribers.yaml'), 'utf8').matchAll(/(?:k|opc): '([0-9a-f]{32})'/g)].map(
        ([, key]) => key,
      ),
    )
    assert.equal(keys.length, 12)
    assert.equal(new Set(keys).size, 12)
  })

  test('has one card for each subscriber, with the subscriber’s keys and the lab’s addresses', async () => {
    const directory = await aLab()
    writeSims(directory, { ub: 18_080, ap: 18_443 })
    const file = join(directory, 'subscribers.yaml')
    const subscribers = loadSubscribers(readFileSync(file, 'utf8'), file)
    for (const name of ['alice', 'bob', 'carol'] as const) {
      const sim = await loadSim(join(directory, 'sims', `${name}.yaml`))
      const subscriber = subscribers.get(sim.impi)
      assert.ok(subscriber && sim.k.equals(subscriber.k) && sim.opc.equals(subscriber.opc))
      assert.equal(subscriber.guss.ussList[0]?.uids[0], impuOf(name))
      const text = readFileSync(join(directory, 'sims', `${name}.yaml`), 'utf8')
      for (const [host, port] of [
        [LAB_BSF, 18_080],
        [LAB_NAF, 18_443],
        [LAB_SECOND_NAF, 18_443],
      ] as const) {
        assert.ok(text.includes(`${host}: '127.0.0.1:${port}'`))
      }
    }
  })

  test('lists no identity of carol that is barred or temporary', async () => {
    const directory = await aLab()
    const file = join(directory, 'subscribers.yaml')
    const text = readFileSync(file, 'utf8')
    const carol = parseImpi('001010000000003@ims.mnc001.mcc001.3gppnetwork.org')
    assert.ok(carol)
    const uids = loadSubscribers(text, file)
      .get(carol)
      ?.guss.ussList.flatMap((uss) => uss.uids)
    assert.deepEqual([...new Set(uids)], [impuOf('carol'), 'tel:+15550100003'])
    assert.match(text, /carol\.hidden/)
  })

  test('has a certificate for every name that it answers to', async () => {
    const directory = await aLab()
    const certificate = (name: string) => new X509Certificate(readFileSync(join(directory, 'certs', name)))
    for (const name of [LAB_NAF, LAB_SECOND_NAF]) assert.equal(certificate('ap.pem').checkHost(name), name)
    assert.equal(certificate('bsf.pem').checkHost(LAB_BSF), LAB_BSF)
  })
})

test('free ports are four, and free', async () => {
  const ports = Object.values(await freePorts())
  assert.equal(new Set(ports).size, 4)
  for (const port of ports) {
    const server = createServer()
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve))
    await new Promise((closed) => server.close(closed))
  }
})

test('a lab started again knows its UEs, their documents and their B-TIDs', async () => {
  const directory = await aLab()
  const ca = readFileSync(join(directory, 'certs', 'ca.pem'))
  const log = createLog({ level: 'error', identities: 'hashed', destination: { write() {} } })
  const { as } = await freePorts()
  const start = async () => {
    const app = await startApp(labConfig(directory, { ub: 0, zn: 0, ap: 0, as }), { log })
    writeSims(directory, { ub: app.addresses.ub?.port ?? 0, ap: app.addresses.ap?.port ?? 0 })
    return app
  }
  const alice = () => loadSim(join(directory, 'sims', 'alice.yaml'))
  const url = `https://${LAB_NAF}/resource-lists/users/${impuOf('alice')}/index`
  const body = Buffer.from('<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"/>')
  const headers = { 'content-type': 'application/resource-lists+xml' }

  const first = await start()
  const state = memoryState(freshState(await alice()))
  const before = createUe(await alice(), { ca, state })
  try {
    assert.equal((await before.request('PUT', url, { headers, body })).status, 201)
    assert.equal(first.audit.count('zh.av-drawn'), 1)
  } finally {
    before.close()
    await first.close()
  }

  const second = await start()
  const now = createUe(await alice(), { ca, state })
  try {
    const answer = await now.request('GET', url)
    assert.deepEqual([answer.status, Buffer.from(answer.body).toString()], [200, body.toString()])
    assert.equal(second.audit.count('zh.av-drawn'), 0)
  } finally {
    now.close()
    await second.close()
  }
})
