import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { sightings } from '../../src/admin/sightings.ts'
import type { AuditRecord } from '../../src/observe/audit.ts'

const aSighting = (maxRefusals?: number) =>
  sightings({
    now: () => 1,
    named: (identity) => `of ${identity}`,
    isDetailed: true,
    ...(maxRefusals && { maxRefusals }),
  })

const BTID = 'AAAAAAAAAAAAAAAAAAAAAA==@bsf.mnc001.mcc001.pub.3gppnetwork.org'

describe('refusals that were seen', () => {
  it('are kept as they were recorded, the latest first, and the oldest goes', () => {
    const seen = aSighting(2)
    const records: AuditRecord[] = ['one', 'two', 'three'].map((requestId, n) => ({
      requestId,
      trace: { traceId: `${n}`.repeat(32) },
      btid: BTID,
      impus: ['sip:user1@ims.example', 'sip:user\u20ac@ims.example'],
      code: 'UA_NONCE_UNKNOWN',
      detail: `nc 0000000${n}`,
      status: 401,
    }))
    for (const record of records) seen.record('ut.refused', record)
    const kept = seen.refusals(() => true)
    assert.deepEqual(
      kept.map(({ record }) => record),
      [records[2], records[1]],
    )
  })

  it('do not keep the heads in memory of which their texts were parts', () => {
    setFlagsFromString('--expose-gc')
    const gc = runInNewContext('gc') as () => void
    const heapMb = () => {
      gc()
      return process.memoryUsage().heapUsed / 1024 / 1024
    }
    const seen = aSighting()
    const before = heapMb()
    for (let n = 0; n < 1_000; n++) {
      const head = Buffer.from(`${BTID} sip:user${n}@ims.example ${`${n}`.padEnd(16_000)}`).toString('latin1')
      const [btid = '', xui = ''] = head.split(' ', 2)
      seen.record('ut.refused', { btid, xui, code: 'UT_TREE_NOT_OWNED', detail: `of ${xui}` })
    }
    const grownMb = heapMb() - before
    assert.equal(seen.refusals(() => true).length, 1_000)
    assert.ok(grownMb < 3, `${grownMb} MB`)
  })
})
