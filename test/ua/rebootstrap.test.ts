import assert from 'node:assert/strict'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import fc from 'fast-check'
import { ConfigError } from '../../src/config/config-error.ts'
import { btidOf, type Fqdn, type Impu } from '../../src/core/identity.ts'
import { followDemands } from '../../src/ua/demand-file.ts'
import { mustRebootstrap, NO_DEMANDS, parseDemands, type RebootstrapDemands } from '../../src/ua/rebootstrap.ts'

const alice = 'sip:alice@example.org' as Impu
const aliceTel = 'tel:+15550100' as Impu
const bob = 'sip:bob@example.org' as Impu
const btid = btidOf(new Uint8Array(16).fill(1), 'bsf.example.org' as Fqdn)
const otherBtid = btidOf(new Uint8Array(16).fill(2), 'bsf.example.org' as Fqdn)
const SINCE = Date.parse('2026-11-21T10:00:00Z')
const LATER = SINCE + 60_000

const bootstrap = (bootstrappedAt: number) => ({ bootstrappedAt, btid, impus: () => [alice, aliceTel] })
const demanding = (demands: Partial<RebootstrapDemands>) => ({ demands: { ...NO_DEMANDS, ...demands } })

describe('mustRebootstrap', () => {
  test('without demand and age limit any bootstrap will do', () => {
    assert.equal(mustRebootstrap(bootstrap(0), { demands: NO_DEMANDS }, LATER), false)
  })

  test('a bootstrap may be as old as the route lets it, and no millisecond older', () => {
    const policy = { demands: NO_DEMANDS, maxKeyAgeS: 60 }
    assert.equal(mustRebootstrap(bootstrap(SINCE), policy, SINCE + 60_000), false)
    assert.equal(mustRebootstrap(bootstrap(SINCE), policy, SINCE + 60_001), true)
  })

  for (const [whom, demands] of [
    ['everybody', { all: [SINCE] }],
    ['an identity of the subscriber', { impus: new Map([[aliceTel, [SINCE]]]) }],
    ['the B-TID', { btids: new Map([[btid, [SINCE]]]) }],
  ] as const) {
    test(`a demand on ${whom} meets what was bootstrapped before it, and only that`, () => {
      assert.equal(mustRebootstrap(bootstrap(SINCE - 1), demanding(demands), LATER), true)
      assert.equal(mustRebootstrap(bootstrap(SINCE), demanding(demands), LATER), false)
    })
  }

  for (const [whom, demands] of [
    ['another subscriber', { impus: new Map([[bob, [SINCE]]]) }],
    ['another B-TID', { btids: new Map([[otherBtid, [SINCE]]]) }],
  ] as const) {
    test(`a demand on ${whom} meets nobody else`, () => {
      assert.equal(mustRebootstrap(bootstrap(0), demanding(demands), LATER), false)
    })
  }

  test('a demand for later does not rule before its instant', () => {
    assert.equal(mustRebootstrap(bootstrap(0), demanding({ all: [SINCE] }), SINCE - 1), false)
    assert.equal(mustRebootstrap(bootstrap(0), demanding({ all: [SINCE] }), SINCE), true)
  })

  test('a demand for later leaves an earlier one on the same subscriber in force', () => {
    const demands = { impus: new Map([[alice, [SINCE, LATER + 1]]]) }
    assert.equal(mustRebootstrap(bootstrap(SINCE - 1), demanding(demands), LATER), true)
  })

  test('however late a BSF’s clock within the skew, a bootstrap made because of a demand satisfies it', () => {
    const skew = fc.nat(10_000)
    fc.assert(
      fc.property(skew, fc.nat(10_000), fc.nat(100_000), (clockSkewMs, late, after) => {
        const policy = { ...demanding({ all: [SINCE] }), clockSkewMs }
        const told = SINCE + after
        fc.pre(mustRebootstrap(bootstrap(0), policy, told))
        const bootstrappedAt = told - Math.min(late, clockSkewMs)
        assert.equal(mustRebootstrap(bootstrap(bootstrappedAt), policy, told), false)
      }),
    )
  })

  test('a UE that does as it is told is told at most once per demand', () => {
    const instant = fc.nat(1_000)
    const demands = fc.record({ all: fc.array(instant), mine: fc.array(instant), its: fc.array(instant) })
    fc.assert(
      fc.property(demands, fc.array(instant, { maxLength: 100, size: 'max' }), ({ all, mine, its }, requests) => {
        const policy = demanding({ all, impus: new Map([[alice, mine]]), btids: new Map([[btid, its]]) })
        let bootstrappedAt = 0
        let told = 0
        for (const now of requests.toSorted((a, b) => a - b)) {
          if (!mustRebootstrap(bootstrap(bootstrappedAt), policy, now)) continue
          told++
          bootstrappedAt = now
          assert.equal(mustRebootstrap(bootstrap(bootstrappedAt), policy, now), false)
        }
        assert.ok(told <= new Set([...all, ...mine, ...its]).size)
      }),
    )
  })
})

describe('parseDemands', () => {
  test('gives what the file says, identities in their canonical form', () => {
    const { all, impus, btids } = parseDemands(
      `# who has to come again
- { impu: 'sip:alice@EXAMPLE.org', since: 2026-11-21T10:00:00Z }
- impu: tel:+1-555-0100
  since: 2026-11-21T11:00:00.000+01:00
- { impu: sip:alice@example.org, since: '2026-11-21T10:01Z' }
- { btid: ${btid}, since: 2026-11-21T10:00:00Z }
- { all: true, since: 2026-11-21T10:00:00Z }
`,
      'demands.yaml',
    )
    assert.deepEqual(all, [SINCE])
    assert.deepEqual(Object.fromEntries(impus), { [alice]: [SINCE, LATER], [aliceTel]: [SINCE] })
    assert.deepEqual(Object.fromEntries(btids), { [btid]: [SINCE] })
  })

  for (const text of ['', '\n', '# nobody now\n  # - { all: true }\n', '[]\n', '[] # none', '---\n# none']) {
    test(`${JSON.stringify(text)} demands nothing`, () => {
      assert.deepEqual(parseDemands(text, 'demands.yaml'), NO_DEMANDS)
    })
  }

  const since = 'since: 2026-11-21T10:00:00Z'
  for (const [name, text, line, key] of [
    ['what is no list', 'all: true', 1, undefined],
    ['what is no YAML', '- {', 1, undefined],
    ['an entry that is no section', '- sip:alice@example.org', 1, '[0]'],
    ['an unknown key', `- { impi: x, ${since} }`, 1, '[0].impi'],
    ['nobody', `- { ${since} }`, 1, '[0]'],
    ['two at once', `# first\n- { impu: ${alice}, all: true, ${since} }`, 2, '[0]'],
    ['no instant', `- { all: true, ${since} }\n- { impu: ${alice} }`, 2, '[1].since'],
    ['all: false', `- { all: false, ${since} }`, 1, '[0].all'],
    ['what is no identity', `- { impu: alice, ${since} }`, 1, '[0].impu'],
    ['what is no B-TID', `- { btid: alice@example.org, ${since} }`, 1, '[0].btid'],
    ['an instant without time zone', `- { all: true, since: 2026-11-21T10:00:00 }`, 1, '[0].since'],
    ['a day alone', `- { all: true, since: 2026-11-21 }`, 1, '[0].since'],
    ['a 30 February', `- { all: true, since: 2026-02-30T10:00:00Z }`, 1, '[0].since'],
    ['a 13th month', `- { all: true, since: 2026-13-01T10:00:00Z }`, 1, '[0].since'],
    ['a 25th hour', `- { all: true, since: 2026-11-21T25:00:00Z }`, 1, '[0].since'],
  ] as const) {
    test(`refuses ${name}, and says where`, () => {
      assert.throws(
        () => parseDemands(text, 'demands.yaml'),
        (error) => {
          assert.ok(error instanceof ConfigError)
          assert.deepEqual([error.file, error.line, error.key], ['demands.yaml', line, key])
          assert.ok(!error.message.includes('alice@'))
          return true
        },
      )
    })
  }
})

describe('followDemands', () => {
  const directory = mkdtempSync(join(tmpdir(), 'demands-'))
  after(() => rmSync(directory, { recursive: true, force: true }))
  const until = async (condition: () => boolean) => {
    for (let left = 500; left > 0 && !condition(); left--) await wait(10)
    assert.ok(condition())
  }

  test('a file that changes, or another in its place, is read again; a mistake changes nothing', async () => {
    const file = join(directory, 'demands.yaml')
    const mistakes: unknown[] = []
    writeFileSync(file, '')
    const demands = followDemands(file, (error) => mistakes.push(error), { everyMs: 10 })
    assert.deepEqual(demands.current(), NO_DEMANDS)
    writeFileSync(file, '- { all: true, since: 2026-11-21T10:00:00Z }')
    await until(() => demands.current().all[0] === SINCE)
    writeFileSync(file, '- { all: true }')
    await until(() => mistakes.length > 0)
    assert.ok(mistakes.every((error) => error instanceof ConfigError))
    assert.deepEqual(demands.current().all, [SINCE])
    writeFileSync(`${file}.new`, '- { all: true, since: 2026-11-21T10:01:00Z }')
    renameSync(`${file}.new`, file)
    await until(() => demands.current().all[0] === LATER)
    demands.close()
  })

  test('a file that is not there is a mistake at the start', () => {
    assert.throws(
      () => followDemands(join(directory, 'none.yaml'), () => {}),
      (error) => error instanceof ConfigError && error.file.endsWith('none.yaml'),
    )
  })
})
