import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import { test } from 'node:test'
import type { AdminDesk, ShownDecision } from '../../src/admin/calls.ts'
import { tailTo } from '../../src/admin/tail.ts'

test('a reader of the tail who is too slow loses lines, and is told how many', () => {
  const written: string[] = []
  const response = Object.assign(new EventEmitter(), {
    writableLength: 0,
    write: (line: string) => written.push(line),
    writeHead() {},
    flushHeaders() {},
    setTimeout() {},
    destroy() {},
  })
  let tell: (decision: ShownDecision) => void = () => {}
  let lose: (count: number) => void = () => {}
  let [left, ended] = [false, 0]
  const desk: Pick<AdminDesk, 'follow'> = {
    follow(told, lost) {
      tell = told
      lose = lost
      return () => {
        left = true
      }
    },
  }
  tailTo(response as unknown as ServerResponse, desk as AdminDesk, { code: 'UA_NC_REUSED' }, () => ended++)
  const decision = (code: string): ShownDecision => ({ time: 't', event: 'ut.refused', code })
  tell(decision('UA_NC_REUSED'))
  tell(decision('UA_RESPONSE_WRONG'))
  response.writableLength = 1_000_000
  for (let n = 0; n < 5; n++) tell(decision('UA_NC_REUSED'))
  assert.equal(written.length, 1)
  response.writableLength = 0
  tell(decision('UA_NC_REUSED'))
  assert.deepEqual(
    written.map((line) => JSON.parse(line)),
    [decision('UA_NC_REUSED'), { lost: 5 }, decision('UA_NC_REUSED')],
  )
  written.length = 0
  response.writableLength = 1_000_000
  lose(3)
  assert.deepEqual(written, [])
  response.writableLength = 0
  response.emit('drain')
  lose(4)
  assert.deepEqual(
    written.map((line) => JSON.parse(line)),
    [{ lost: 3 }, { lost: 4 }],
  )
  response.emit('close')
  assert.deepEqual([left, ended], [true, 1])
})
