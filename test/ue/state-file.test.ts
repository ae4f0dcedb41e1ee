import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { type Btid, parseTmpi, type Tmpi } from '../../src/core/identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { createUe } from '../../src/ue/flow.ts'
import type { UeState } from '../../src/ue/state.ts'
import { fileState, stateFileOf } from '../../src/ue/state-file.ts'
import { card, simText } from './card.ts'
import { fakeBsf, fakeNaf, NAF, SET_1 } from './fake-network.ts'

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'gba-ue-'))
  t.after(() => rmSync(path, { recursive: true }))
  return path
}

const unusable = (code: string) => (error: unknown) => {
  assert.equal((error as { code?: string }).code, code)
  return true
}

const count = (state: UeState): UeState => ({
  ...state,
  nonces: new Map([
    [
      'o',
      {
        challenge: { realm: 'r', nonce: 'n', qop: ['auth'] },
        count: (state.nonces.get('o')?.count ?? 0) + 1,
        cnonce: 'c',
      },
    ],
  ]),
})

describe('the state file of a UE', () => {
  test('spares the next process a bootstrap, and its nonce counts go on', async (t) => {
    const path = join(folder(t), 'alice.state.json')
    const bsf = await fakeBsf()
    const naf = await fakeNaf({ sessions: bsf.sessions })
    t.after(() => Promise.all([bsf.close(), naf.close()]))
    for (let i = 0; i < 3; i++) {
      const sim = card({ bsf: bsf.port, naf: naf.port })
      const ue = createUe(sim, { state: fileState(path, sim) })
      assert.equal((await ue.request('GET', `http://${NAF}/`)).status, 200)
      ue.close()
    }
    assert.equal(bsf.drawn(), 1)
    assert.deepEqual(
      naf.requests.map(({ credentials }) => credentials?.nc),
      [undefined, '00000001', '00000002', '00000003'],
    )
  })

  test('gives back what it was given', (t) => {
    const path = join(folder(t), 'state.json')
    const sim = card({})
    const tmpi: Tmpi = parseTmpi('NdfNQvvGWK4SGbs7c17alrZHQXyhEcrW@tmpi.bsf.3gppnetwork.org') ?? assert.fail()
    const btid = 'I1U8vpY3qJ0hiuZNrke/NQ==@bsf.example' as Btid
    const state: UeState = {
      usim: { sqns: Array.from({ length: 32 }, (_, i) => Uint8Array.of(0, 0, 0, 0, 1, i)) },
      bootstrap: {
        btid,
        rand: new Uint8Array(16).fill(7),
        ks: new Secret(new Uint8Array(32).fill(9)),
        expiresAt: 1_800_000_000_000,
      },
      tmpi,
      nonces: new Map([
        [
          'http://a:80',
          { challenge: { realm: 'r', nonce: 'n', qop: ['auth', 'auth-int'] }, count: 7, cnonce: 'c', btid },
        ],
        [
          '__proto__',
          {
            challenge: { realm: 'r', nonce: 'm', qop: ['auth'], opaque: 'o', algorithm: 'SHA-256-sess' },
            count: 0,
            cnonce: 'd',
          },
        ],
      ]),
    }
    fileState(path, sim).update(() => state)
    const read = fileState(path, sim).read()
    assert.deepEqual({ ...read, bootstrap: undefined }, { ...state, bootstrap: undefined })
    assert.ok(read.bootstrap && state.bootstrap)
    assert.ok(read.bootstrap.ks.equals(state.bootstrap.ks))
    assert.deepEqual({ ...read.bootstrap, ks: 0 }, { ...state.bootstrap, ks: 0 })
  })

  test('is readable by its owner only, and leaves nothing beside it', (t) => {
    const dir = folder(t)
    const sim = card({})
    fileState(join(dir, 'alice.state.json'), sim).update((state) => state)
    assert.equal(statSync(join(dir, 'alice.state.json')).mode & 0o777, 0o600)
    assert.deepEqual(readdirSync(dir), ['alice.state.json'])
  })

  test('holds neither K nor OPc', (t) => {
    const path = join(folder(t), 'state.json')
    fileState(path, card({})).update(count)
    const text = readFileSync(path, 'utf8')
    assert.ok(!text.includes(SET_1.k) && !text.includes(SET_1.opc))
  })

  for (const [what, change] of [
    ['key', { k: '00'.repeat(16) }],
    ['identity', { imsi: '001010123456788' }],
    ['starting SQN', { sqn: '000000000020' }],
  ] as const) {
    test(`of a card with another ${what} counts for nothing`, (t) => {
      const path = join(folder(t), 'state.json')
      fileState(path, card({})).update(count)
      assert.equal(fileState(path, card({})).read().nonces.size, 1)
      assert.equal(fileState(path, card({}, change)).read().nonces.size, 0)
    })
  }

  test('survives a change that fails', (t) => {
    const path = join(folder(t), 'state.json')
    const store = fileState(path, card({}))
    store.update(count)
    assert.throws(() =>
      store.update(() => {
        throw new Error('no')
      }),
    )
    assert.equal(store.update(count).nonces.get('o')?.count, 2)
  })

  test('loses no count among processes that write at once', async (t) => {
    const dir = folder(t)
    writeFileSync(join(dir, 'alice.yaml'), simText({}))
    const program = `
      import { loadSim } from ${JSON.stringify(import.meta.resolve('../../src/ue/sim.ts'))}
      import { fileState } from ${JSON.stringify(import.meta.resolve('../../src/ue/state-file.ts'))}
      const store = fileState('alice.state.json', await loadSim('alice.yaml'))
      const count = ${count.toString()}
      for (let i = 0; i < 50; i++) store.update(count)`
    const run = () => promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], { cwd: dir })
    await Promise.all([run(), run(), run(), run()])
    const sim = card({})
    assert.equal(fileState(join(dir, 'alice.state.json'), sim).read().nonces.get('o')?.count, 200)
  })

  test('is not locked for ever by a process that died', (t) => {
    const path = join(folder(t), 'state.json')
    writeFileSync(`${path}.lock`, '')
    const longAgo = new Date(Date.now() - 60_000)
    utimesSync(`${path}.lock`, longAgo, longAgo)
    assert.equal(fileState(path, card({})).update(count).nonces.size, 1)
  })

  test('is refused when it is something else', (t) => {
    const path = join(folder(t), 'state.json')
    for (const text of ['', '[]', '{"version":2}', 'null']) {
      writeFileSync(path, text)
      assert.throws(() => fileState(path, card({})).read(), unusable('STATE_UNREADABLE'))
    }
    fileState(`${path}2`, card({})).update(count)
    const good = readFileSync(`${path}2`, 'utf8')
    for (const [from, to] of [
      [/"count": 1/, '"count": -1'],
      [/"ff9bb4d0b5e7"/, '"ff9bb4d0b5"'],
      [/"realm": "r"/, '"realm": 1'],
    ] as const) {
      assert.match(good, from)
      writeFileSync(path, good.replace(from, to))
      assert.throws(() => fileState(path, card({})).read(), unusable('STATE_UNREADABLE'))
    }
  })

  test('that cannot be written stops the UE before it answers a challenge', async (t) => {
    const bsf = await fakeBsf()
    t.after(() => bsf.close())
    const sim = card({ bsf: bsf.port })
    const ue = createUe(sim, { state: fileState('/nowhere/at/all/state.json', sim) })
    await assert.rejects(ue.bootstrap(), unusable('STATE_UNWRITABLE'))
    assert.equal(bsf.requests.length, 1)
    ue.close()
  })

  test('lies beside the SIM file under its name', () => {
    assert.equal(stateFileOf('a/alice.yaml'), 'a/alice.state.json')
    assert.equal(stateFileOf('alice.yml'), 'alice.state.json')
    assert.equal(stateFileOf('alice'), 'alice.state.json')
  })
})
