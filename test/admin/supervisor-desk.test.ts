import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { AdminAnswer, AdminCall, DecisionFilter, ShownDecision } from '../../src/admin/calls.ts'
import type { ToldDecisions } from '../../src/admin/relay.ts'
import { type AskedWorker, supervisorDesk } from '../../src/admin/supervisor-desk.ts'
import type { Config } from '../../src/config/schema.ts'
import type { Btid, Impi } from '../../src/core/identity.ts'
import { labConfig } from '../../src/lab.ts'
import type { AuditRecord } from '../../src/observe/audit.ts'
import { createLog } from '../../src/observe/log.ts'
import { standingDemands } from '../../src/ua/standing-demands.ts'

const NOW = Date.parse('2026-01-31T12:00:00Z')
const lab = (overrides: Parameters<typeof labConfig>[2] = {}) =>
  labConfig('/nowhere', { ub: 0, zn: 0, ap: 0, as: 0 }, overrides)

interface Told {
  readonly number: number
  readonly call: AdminCall
  readonly patienceMs: number
}

/** Workers that answer as the test wants; undefined: not at all. */
function site(
  answers: Readonly<Record<number, (call: AdminCall) => AdminAnswer | undefined>>,
  options: { config?: Config; starting?: number; mostDemands?: number } = {},
) {
  const told: Told[] = []
  const records: AuditRecord[] = []
  const lines: string[] = []
  const followed: { filters: readonly DecisionFilter[]; hear: (told: ToldDecisions) => void }[] = []
  const all = Object.entries(answers).map(
    ([number, answer]): AskedWorker => ({
      number: Number(number),
      isUp: Number(number) !== options.starting,
      isSilent: false,
      async ask(call, patienceMs) {
        told.push({ number: Number(number), call, patienceMs })
        const given = answer(call)
        return given ? { number: Number(number), answer: given } : { number: Number(number), missing: 'silent' }
      },
      async record(record) {
        if (answer({ ask: 'routes' }) === undefined) return false
        records.push(record)
        return true
      },
    }),
  )
  const config = options.config ?? lab()
  const demands = standingDemands([], options.mostDemands)
  const desk = supervisorDesk({
    config: () => config,
    workers: { all: () => all, follow: (filters, hear) => followed.push({ filters, hear }) },
    demands,
    log: createLog({ level: 'info', identities: 'hashed', destination: { write: (line) => void lines.push(line) } }),
    now: () => NOW,
  })
  return { desk, demands, followed, lines, records, told }
}
const ok = (): AdminAnswer => ({ status: 200, body: {} })

describe('the desk of a supervisor', () => {
  test('tells routes itself, and says where there is no proxy', async () => {
    const { desk, told } = site({})
    assert.equal((await desk.answer({ ask: 'routes' })).body?.routes?.length, 1)
    const { ap: _, ...withoutProxy } = lab()
    const bare = site({}, { config: withoutProxy })
    assert.equal((await bare.desk.answer({ ask: 'routes' })).status, 409)
    assert.equal((await bare.desk.answer({ ask: 'rebootstrap', demand: { whom: { all: true } } })).status, 409)
    assert.deepEqual([told, bare.told], [[], []])
  })

  test('asks each worker with what all of them know of the name', async () => {
    const known = (impi: string | undefined, ...btids: string[]) => ({
      status: 200,
      known: { ...(impi && { impi: impi as Impi }), btids: btids as Btid[] },
    })
    const { desk, told } = site({
      1: ({ ask }) => (ask === 'who' ? known('alice@x', 'a', 'b') : ok()),
      2: ({ ask }) => (ask === 'who' ? known(undefined, 'b', 'c') : ok()),
    })
    assert.equal((await desk.answer({ ask: 'subscriber', impi: '0123456789ab' })).status, 200)
    assert.deepEqual(
      told.slice(2).map(({ call }) => call),
      [1, 2].map(() => ({
        ask: 'subscriber',
        impi: '0123456789ab',
        known: { impi: 'alice@x', btids: ['a', 'b', 'c'] },
      })),
    )
  })

  test('waits for one that is silent once in a call, and tells it the rest', async () => {
    const { desk, told } = site({ 1: ok, 2: () => undefined })
    assert.equal((await desk.answer({ ask: 'drop', btid: 'b' })).status, 504)
    assert.deepEqual(
      told.flatMap(({ call, number, patienceMs }) => (number === 2 ? [[call.ask, patienceMs]] : [])),
      [
        ['who', 2000],
        ['drop', 0],
        ['drop', 0],
      ],
    )
  })

  test('tells one that is starting what is to be done, and asks it nothing', async () => {
    const { desk, told } = site({ 1: ok, 2: ok }, { starting: 2 })
    await desk.answer({ ask: 'subscriber', impi: 'a@b' })
    assert.deepEqual(new Set(told.map(({ number }) => number)), new Set([1]))
    await desk.answer({ ask: 'drop', btid: 'b' })
    await desk.answer({ ask: 'rebootstrap', demand: { whom: { all: true } } })
    assert.deepEqual(
      told.flatMap(({ call, number }) => (number === 2 ? [call.ask] : [])),
      ['drop', 'drop', 'rebootstrap'],
    )
  })

  test('gives all workers one instant of a demand, and keeps it for those that come', async () => {
    const { demands, desk, told } = site({ 1: ok, 2: ok })
    await desk.answer({ ask: 'rebootstrap', demand: { whom: { all: true } } })
    const demand = { whom: { all: true }, since: '2026-01-31T12:00:00.000Z' }
    assert.deepEqual(
      told.map(({ call }) => call),
      [1, 2].map(() => ({ ask: 'rebootstrap', demand })),
    )
    assert.deepEqual(demands.list(), [{ whom: { all: true }, since: NOW }])
    const full = site({ 1: ok }, { mostDemands: 0 })
    assert.equal((await full.desk.answer({ ask: 'rebootstrap', demand: { whom: { all: true } } })).status, 409)
    assert.deepEqual(full.told, [])
  })

  test('has one worker write a demand into the file, another where that one is silent, and all read it', async () => {
    const base = lab()
    const config = { ...base, ap: { ...base.ap, rebootstrapFile: '/demands' } } as ReturnType<typeof lab>
    const { demands, desk, told } = site({ 1: () => undefined, 2: ok, 3: ok }, { config })
    const { status, workers } = await desk.answer({ ask: 'rebootstrap', demand: { whom: { all: true } } })
    assert.deepEqual([status, workers], [504, { answered: [2, 3], missing: { 1: 'silent' } }])
    assert.deepEqual(
      told.map(({ call, number }) => `${number} ${call.ask}`),
      ['1 rebootstrap', '2 rebootstrap', '1 look-at-demands', '2 look-at-demands', '3 look-at-demands'],
    )
    assert.deepEqual(demands.list(), [])
    const refusing = site({ 1: () => ({ status: 409, detail: 'a mistake in it' }), 2: ok }, { config })
    assert.equal((await refusing.desk.answer({ ask: 'rebootstrap', demand: { whom: { all: true } } })).status, 409)
    assert.equal(refusing.told.length, 1)
  })

  test('has a call recorded by one worker, and by its own log, naming nobody, where none can', async () => {
    const record = { requestId: 'r', path: '/admin/routes', btid: 'b', impi: 'i' }
    const { desk, lines, records } = site({ 1: () => undefined, 2: ok, 3: ok })
    desk.record(record)
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual([records, lines], [[record], []])
    const alone = site({ 1: () => undefined })
    alone.desk.record(record)
    await new Promise((resolve) => setImmediate(resolve))
    const { level, event, requestId, btid, impi } = JSON.parse(alone.lines[0] ?? '{}')
    assert.deepEqual([level, event, requestId, btid, impi], ['error', 'admin.called', 'r', undefined, undefined])
  })

  test('knows that the audit cannot be written when a worker says so, and waits for none that is silent', async () => {
    const out = (): AdminAnswer => ({ status: 503, detail: 'out' })
    const statusOf = async (...answers: (() => AdminAnswer | undefined)[]) =>
      (await site({ ...answers }).desk.answer({ ask: 'audit' })).status
    assert.equal(await statusOf(ok, out), 503)
    assert.equal(await statusOf(ok, () => undefined), 200)
    assert.equal(await statusOf(ok, ok), 200)
    assert.equal(await statusOf(), 200)
  })

  test('has workers tell what its readers want, each of whom hears that and what of it is lost', () => {
    const { desk, followed } = site({})
    const heard: [ShownDecision[], ShownDecision[]] = [[], []]
    const lost = [0, 0]
    const follow = (n: 0 | 1, filter: DecisionFilter) =>
      desk.follow(
        (decision) => heard[n].push(decision),
        (count) => {
          lost[n] = (lost[n] ?? 0) + count
        },
        filter,
      )
    const leave = follow(0, {})
    follow(1, { code: 'UA_NC_REUSED' })
    assert.deepEqual(followed.at(-1)?.filters, [{}, { code: 'UA_NC_REUSED' }])
    const [reused, other] = ['UA_NC_REUSED', 'UA_RESPONSE_WRONG'].map(
      (code): ShownDecision => ({ time: 't', event: 'ut.refused', code }),
    )
    assert.ok(reused && other)
    followed[0]?.hear({
      decisions: [reused, other],
      lost: [
        { event: 'ut.refused', code: 'UA_NC_REUSED', count: 2 },
        { event: 'ut.forwarded', count: 3 },
      ],
    })
    assert.deepEqual(
      [heard, lost],
      [
        [[reused, other], [reused]],
        [5, 2],
      ],
    )
    leave()
    assert.deepEqual(followed.at(-1)?.filters, [{ code: 'UA_NC_REUSED' }])
  })
})
