import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, unlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import { type AuditEvent, type AuditRecord, auditor } from '../../src/observe/audit.ts'
import { type AuditFileOptions, openAuditFile } from '../../src/observe/audit-file.ts'
import { createLog } from '../../src/observe/log.ts'

const directory = mkdtempSync(join(tmpdir(), 'gba-proxy-test-'))
after(() => rmSync(directory, { recursive: true, force: true }))
let files = 0
const aPath = () => join(directory, `audit-${files++}.log`)
const lines = (path: string) => readFileSync(path, 'utf8').split('\n').slice(0, -1)
const eventsIn = (path: string): unknown[] => lines(path).map((line) => JSON.parse(line).event)

function opened(options: Partial<AuditFileOptions> = {}) {
  const path = options.path ?? aPath()
  const failures: unknown[] = []
  const file = openAuditFile({ onFailure: (error) => failures.push(error), ...options, path })
  return { path, file, failures }
}

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom('"', '\\', '\ud800'),
)
const number = fc.oneof(fc.integer(), fc.double())
const record: fc.Arbitrary<AuditRecord> = fc.record(
  {
    requestId: text,
    impi: text,
    btid: text,
    impus: fc.array(text),
    xui: text,
    code: fc.constantFrom('UA_NC_REUSED', 'UT_TREE_NOT_OWNED'),
    detail: text,
    source: text,
    method: text,
    step: fc.constant('forward'),
    tolerances: fc.array(text),
    status: number,
    durationMs: number,
  },
  { requiredKeys: [] },
)
const withoutTime = (line: string) => line.replace(/"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"/, '"time":""')

describe('the audit file', () => {
  for (const worker of [undefined, 3]) {
    const of = worker === undefined ? 'a process' : 'one worker of several'
    test(`has the very lines that the log of ${of} would have of any record`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(record), fc.boolean(), async (records, isHashed) => {
          const { path, file } = opened({ worker })
          const logged: string[] = []
          const destination = { write: (line: string) => logged.push(line) }
          const log = createLog({ level: 'info', identities: 'hashed', worker, destination })
          const named = isHashed ? (identity: string) => `<${identity.length}>` : undefined
          const inFile = auditor(file.write, named)
          const inLog = auditor((event, fields) => log.info(fields, event), named)
          for (const each of records) for (const audit of [inFile, inLog]) audit.record('ut.refused', each)
          file.end()
          assert.deepEqual(
            readFileSync(path, 'utf8').split('\n').slice(0, -1).map(withoutTime),
            logged.map((line) => withoutTime(line.trimEnd())),
          )
        }),
        { numRuns: 50 },
      )
    })
  }

  test('has the records of one turn when it is over, in their order, and those that it had before', async () => {
    const { path, file } = opened()
    const turns: AuditEvent[][] = [['ut.forwarded', 'ut.refused', 'zn.granted'], ['ub.refused']]
    for (const turn of turns) {
      const before = lines(path)
      for (const event of turn) file.write(event, {})
      assert.deepEqual(lines(path), before)
      await nextTurn()
      assert.deepEqual(eventsIn(path).slice(before.length), turn)
    }
    file.end()
    const again = opened({ path })
    again.file.write('ub.challenged', {})
    again.file.end()
    assert.deepEqual(eventsIn(path), [...turns.flat(), 'ub.challenged'])
    assert.equal(statSync(path).mode & 0o777, 0o600)
  })

  test('does not let a long turn wait in memory', () => {
    const { path, file } = opened()
    for (let i = 0; i < 3_000; i++) file.write('ut.refused', { detail: 'x'.repeat(1_000) })
    assert.ok(lines(path).length > 1_000)
    file.end()
    assert.equal(lines(path).length, 3_000)
  })

  test('leaves what came before it was opened anew in the file that was moved away', async () => {
    const { path, file } = opened()
    file.write('ut.forwarded', {})
    renameSync(path, `${path}.1`)
    file.write('ut.refused', {})
    file.reopen()
    file.write('ub.refused', {})
    file.end()
    assert.deepEqual([eventsIn(`${path}.1`), eventsIn(path)], [['ut.forwarded', 'ut.refused'], ['ub.refused']])
  })

  test('goes on with the old file where a new one cannot be opened', () => {
    const moved = mkdtempSync(join(directory, 'moved-'))
    const { path, file, failures } = opened({ path: join(moved, 'audit.log') })
    renameSync(moved, `${moved}.1`)
    file.reopen()
    file.write('ut.refused', {})
    file.end()
    assert.deepEqual(eventsIn(path.replace(moved, `${moved}.1`)), ['ut.refused'])
    assert.equal(failures.length, 1)
  })

  test('on a full disk it refuses records, says so once, and has all that it took once there is room', async () => {
    const path = aPath()
    symlinkSync('/dev/full', path)
    const { file, failures } = opened({ path })
    file.write('ut.forwarded', {})
    await nextTurn()
    assert.equal(failures.length, 1)
    for (let i = 0; i < 3; i++) assert.throws(() => file.write('ut.refused', {}), { code: 'ENOSPC' })
    await nextTurn()
    assert.equal(failures.length, 1)
    unlinkSync(path)
    file.reopen()
    file.write('ub.refused', {})
    file.end()
    assert.deepEqual(eventsIn(path), ['ut.forwarded', 'ub.refused'])
  })

  for (const [how, ending] of [
    ['exits', 'process.exit(3)'],
    ['ends for an error that nobody caught', "throw new Error('a bug')"],
    ['ends for a promise that nobody caught', "void Promise.reject(new Error('a bug'))"],
  ] as const) {
    test(`has the records of the turn in which the process ${how}`, () => {
      const path = aPath()
      const from = import.meta.resolve('../../src/observe/audit-file.ts')
      const script = `
        import { openAuditFile } from '${from}'
        const file = openAuditFile({ path: process.argv[1], onFailure() {} })
        for (const event of ['ut.forwarded', 'ut.refused']) file.write(event, {})
        ${ending}`
      const { status } = spawnSync(process.execPath, ['--input-type=module', '--eval', script, path])
      assert.notEqual(status, 0)
      assert.deepEqual(eventsIn(path), ['ut.forwarded', 'ut.refused'])
    })
  }
})
