import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import { labConfig } from '../../src/lab.ts'
import { openState } from '../../src/state.ts'
import { anEntry, anOwner } from '../contract/access-log.ts'
import { isUnavailable } from '../contract/adapter.ts'

/** Run by access-log-failure.test.ts where files may not grow past 32 MiB: writes access logs until their file is dead. */
const [, , directory = ''] = process.argv
const told: unknown[] = []
const config = labConfig(directory, { ub: 0, zn: 0, ap: 0, as: 0 })
const state = openState(config, (error) => told.push(error))
const log = state.accessLog ?? assert.fail('no access log')
const health = () => [state.health().state, state.health().accessLog]
assert.deepEqual(health(), ['writable', 'writable'])

let failure: unknown
for (let at = 1; failure === undefined; at++) {
  for (let n = 0; n < 15_000; n++) {
    await log.append(anOwner(`${at}-${n % 150}`), { ...anEntry(at), documentSelector: 'x'.repeat(512) })
  }
  await log.flush().catch((error: unknown) => {
    failure = error
  })
}
assert.ok(isUnavailable(failure))
assert.deepEqual(health(), ['writable', 'restart-needed'])
await assert.rejects(log.flush(), isUnavailable)
await wait(1_200) // it has tried again by itself
assert.equal(told.length, 1)
assert.ok(isUnavailable(told[0]))
assert.match(String(told[0]), /access\.mdb.*restart/)

await log.append(anOwner('later'), anEntry(1)) // a request is served as before
assert.equal((await log.read(anOwner('later'), 1)).length, 1)
await state.close()
process.stdout.write('ok\n')
