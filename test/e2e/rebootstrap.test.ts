import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { impuOf } from '../../src/lab.ts'
import { type TestLab, type TestLabOptions, testLab } from '../support/lab.ts'

const listOf = (name: 'alice' | 'bob') => `/resource-lists/users/${impuOf(name)}/index`
const directory = mkdtempSync(join(tmpdir(), 'rebootstrap-'))
const labs: TestLab[] = []
after(async () => {
  for (const lab of labs) await lab.close()
  rmSync(directory, { recursive: true, force: true })
})

/** A lab with a clock to turn, which starts after the nonce ledger did. */
async function aLab(ap: TestLabOptions['ap']) {
  const clock = { now: Date.now() + 60_000 }
  const lab = await testLab({ now: () => clock.now, ...(ap && { ap }) })
  labs.push(lab)
  const challenges = () => lab.decisions.flatMap(({ record }) => (record.status === 401 ? [record.code] : []))
  return { lab, clock, challenges, vectors: () => lab.app.audit.count('zh.av-drawn') }
}

describe('re-bootstrapping on demand', () => {
  test('who is older than the demand gets one 401 and bootstraps anew, once; others notice nothing', async () => {
    const file = join(directory, 'demands.yaml')
    const since = Date.now() + 3_600_000
    writeFileSync(file, `- { impu: '${impuOf('alice')}', since: ${new Date(since).toISOString()} }`)
    const { lab, clock, challenges, vectors } = await aLab({ rebootstrapFile: file })
    const [alice, bob] = [await lab.ue('alice'), await lab.ue('bob')]
    const both = async () => {
      assert.equal((await alice.request('GET', lab.url(listOf('alice')))).status, 404)
      assert.equal((await bob.request('GET', lab.url(listOf('bob')))).status, 404)
    }
    await both()
    const [before, drawn] = [challenges().length, vectors()]
    for (const later of [0, 60_000]) {
      clock.now = since + later
      await both()
      assert.deepEqual(challenges().slice(before), ['UA_REBOOTSTRAP_DEMANDED'])
      assert.equal(vectors(), drawn + 1)
    }
  })

  test('a route may want younger bootstraps than the BSF', async () => {
    const { lab, clock, challenges } = await aLab({ routes: [{ appServer: 'lab', maxKeyAgeS: 600 }] })
    const alice = await lab.ue('alice')
    const read = async () => assert.equal((await alice.request('GET', lab.url(listOf('alice')))).status, 404)
    await read()
    const before = challenges().length
    clock.now += 600_000
    await read()
    assert.deepEqual(challenges().slice(before), [])
    clock.now += 1
    await read()
    assert.deepEqual(challenges().slice(before), ['UA_REBOOTSTRAP_DEMANDED'])
  })

  test('a demand costs one 401 even where the nonce has aged, too', async () => {
    const { lab, clock, challenges } = await aLab({
      routes: [{ appServer: 'lab', maxKeyAgeS: 600 }],
      challenge: { nonceLifetimeS: 500 },
    })
    const alice = await lab.ue('alice')
    await alice.request('GET', lab.url(listOf('alice')))
    const before = challenges().length
    clock.now += 700_000
    assert.equal((await alice.request('GET', lab.url(listOf('alice')))).status, 404)
    assert.deepEqual(challenges().slice(before), ['UA_REBOOTSTRAP_DEMANDED'])
  })
})
