import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe } from 'node:test'
import type { FaultCode } from '../../src/errors.ts'
import { impuOf } from '../../src/lab.ts'
import { holds, tracesOf } from '../contract/adapter.ts'
import { type Apart, type ApSide, labApart } from '../support/apart.ts'
import { apOf, type HandUe, handUe } from '../support/hand-ue.ts'
import { inProcess } from '../support/in-process.ts'
import { findProgram, peerTest } from '../support/peer.ts'
import { rawExchange } from '../support/raw-client.ts'
import { REDIS_PROGRAMS, type RedisServer, redisServer } from '../support/redis.ts'

const OWN = `/resource-lists/users/${impuOf('alice')}/index`
const USS_MAX_AGE_S = 600
const KEY_LIFETIME_S = 3600
const peer = (name: string, fn: () => Promise<void>) => peerTest(name, REDIS_PROGRAMS, fn)
const hasRedis = REDIS_PROGRAMS.every((program) => findProgram(program) !== undefined)

describe('APs over one Redis, with a BSF elsewhere', () => {
  let redis: RedisServer
  let apart: Apart
  let offsetMs = 0
  const aps: ApSide[] = []
  before(async () => {
    if (!hasRedis) return
    redis = await redisServer()
    apart = await labApart({ now: () => Date.now() + offsetMs, bsf: { keyLifetimeS: KEY_LIFETIME_S } })
    assert.equal((await inProcess(['keys', '--dir', join(apart.directory, 'keys')])).code, 0)
    await startAp()
    await startAp()
  })
  after(async () => {
    await apart?.close()
    await redis?.close()
  })

  async function startAp(zn: object = {}): Promise<ApSide> {
    const keysDirectory = join(apart.directory, 'keys')
    const ap = await apart.startAp(
      {
        ...(aps.length > 0 && { port: 0 }), // the first is where UEs are led to
        challenge: { nonceKeyFile: join(keysDirectory, 'nonce.key') },
        zn: { ussMaxAgeS: USS_MAX_AGE_S, ...zn },
      },
      { kind: 'redis', redis: { nodes: [redis.node], keysDirectory } },
    )
    aps.push(ap)
    return ap
  }
  const ap = (i: number) => aps[i] ?? assert.fail(`no AP ${i}`)
  const asked = () => aps.reduce((sum, { app }) => sum + app.audit.count('zn.fetched'), 0)
  const granted = () => apart.bsf.app.audit.count('zn.granted')
  const send = async (ue: HandUe, side: ApSide) => rawExchange(apOf(side), await ue.signed('GET', OWN))
  const codeAt = ({ decisions }: ApSide): FaultCode | undefined => decisions.at(-1)?.record.code
  const failuresAt = ({ logged }: ApSide) => logged().split('zn.shared-keys-failed').length - 1
  const sharedNames = async () => (await redis.command('KEYS', 'gba:keys:*')).split('\n').filter(Boolean)

  peer('20 requests of one UE, at one and the other in turn, cost one question to the BSF', async () => {
    const ue = await handUe(ap(0))
    const before = [asked(), granted()]
    for (let i = 0; i < 20; i++) assert.equal((await send(ue, ap(i % 2))).status, 200)
    assert.deepEqual([asked(), granted()], [(before[0] ?? 0) + 1, (before[1] ?? 0) + 1])
  })

  peer('what lies in Redis shows neither key nor B-TID, and ends when the settings come of age', async () => {
    const ue = await handUe(ap(0))
    assert.equal((await send(ue, ap(0))).status, 200)
    const names = await sharedNames()
    assert.ok(names.length > 0)
    for (const name of names) {
      const leftMs = Number(await redis.command('PTTL', name))
      assert.ok(leftMs > 0 && leftMs <= USS_MAX_AGE_S * 1000, `${leftMs}`)
    }
    assert.equal(await redis.command('SAVE'), 'OK')
    const dump = readFileSync(join(redis.directory, 'dump.rdb'))
    const secrets = [Buffer.from(ue.password, 'base64'), Buffer.from(ue.btid), Buffer.from(ue.password)]
    for (const trace of secrets.flatMap(tracesOf)) assert.equal(holds(dump, trace), false)
  })

  peer('a key is used at none of them at or after its expiry', async () => {
    const ue = await handUe(ap(0))
    const bootstrappedAt = Date.now()
    const fresh = await startAp({ ussMaxAgeS: 100_000 })
    assert.equal((await send(ue, fresh)).status, 200)
    const other = await startAp({ ussMaxAgeS: 100_000 })
    const never = await startAp({ ussMaxAgeS: 100_000 })
    try {
      offsetMs = bootstrappedAt + KEY_LIFETIME_S * 1000 - 20_000 - Date.now()
      const before = asked()
      assert.equal((await send(ue, other)).status, 200)
      assert.equal(asked(), before)
      offsetMs += 20_000
      for (const side of [fresh, other, never]) {
        assert.equal((await send(ue, side)).status, 401)
        assert.equal(codeAt(side), 'ZN_BTID_UNKNOWN')
      }
    } finally {
      offsetMs = 0
    }
  })

  peer('a key is as old as its first fetch, wherever it was copied to', async () => {
    const ue = await handUe(ap(0))
    const from = Date.now()
    const before = asked()
    assert.equal((await send(ue, ap(0))).status, 200)
    try {
      offsetMs = from + USS_MAX_AGE_S * 1000 - 20_000 - Date.now()
      assert.equal((await send(ue, ap(1))).status, 200)
      assert.equal(asked(), before + 1)
      offsetMs += 40_000
      assert.equal((await send(ue, ap(1))).status, 200)
      assert.equal(asked(), before + 2)
      assert.equal((await send(ue, ap(0))).status, 200)
      assert.equal(asked(), before + 2)
    } finally {
      offsetMs = 0
    }
  })

  peer('a record that was changed costs a question and nothing else, and is reported', async () => {
    const ue = await handUe(ap(0))
    assert.equal((await send(ue, ap(0))).status, 200)
    for (const name of await sharedNames()) await redis.command('SETRANGE', name, '60', 'xxxx')
    const before = asked()
    const damaged = await startAp()
    assert.equal((await send(ue, damaged)).status, 200)
    assert.equal(asked(), before + 1)
    assert.equal(failuresAt(damaged), 1)
    const next = await startAp()
    assert.equal((await send(ue, next)).status, 200)
    assert.deepEqual([asked(), failuresAt(next)], [before + 1, 0], 'the answer took its place')
  })

  peer('a B-TID that the BSF does not know leaves nothing in Redis', async () => {
    const ue = await handUe(ap(0))
    const before = (await sharedNames()).length
    const unknown = Buffer.from(await ue.signed('GET', OWN, { username: `${'A'.repeat(22)}==@bsf.example.org` }))
    assert.equal((await rawExchange(apOf(ap(0)), unknown)).status, 401)
    assert.equal(codeAt(ap(0)), 'ZN_BTID_UNKNOWN')
    assert.equal((await sharedNames()).length, before)
  })

  peer('an AP that shares nothing asks for itself', async () => {
    const ue = await handUe(ap(0))
    assert.equal((await send(ue, ap(0))).status, 200)
    const before = asked()
    const alone = await startAp({ shared: false })
    assert.equal((await send(ue, alone)).status, 200)
    assert.equal(asked(), before + 1)
  })

  peer('without Redis the BSF is asked, and it is the record of nonces that answers 503', async () => {
    const ue = await handUe(ap(0))
    assert.equal((await send(ue, ap(0))).status, 200)
    const fresh = await startAp()
    const before = asked()
    await redis.stop()
    try {
      const answer = await send(ue, fresh)
      assert.equal(answer.status, 503)
      assert.match(answer.header('retry-after') ?? '', /^\d+$/)
      assert.equal(codeAt(fresh), 'STORE_UNAVAILABLE')
      assert.equal(asked(), before + 1)
      assert.ok(failuresAt(fresh) > 0)
      assert.equal((await send(ue, fresh)).status, 503)
      assert.equal(asked(), before + 1, 'it keeps what it was told')
    } finally {
      await redis.restart()
    }
  })
})
