import assert from 'node:assert/strict'
import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { adminPortIn, ask, scrape, sumOf } from '../support/admin.ts'
import { handUb } from '../support/hand-ub.ts'
import { handUe } from '../support/hand-ue.ts'
import { eventually, impuOfCard, workersSite } from '../support/workers.ts'

/** Run by full-tmpfs.test.ts on a tmpfs that two workers keep their state on: fills it, and says 'ok' if all was well. */
const [, , mount = ''] = process.argv
const own = (n: number) => `/resource-lists/users/${impuOfCard(n)}/index`
const site = await workersSite({
  workers: 2,
  stateDirectory: join(mount, 'state'),
  overrides: { admin: { port: 0 } },
})
const readiness = async () => {
  const { status, text } = await ask(adminPortIn(site.stderr()), '/ready')
  return { status, ...JSON.parse(text) }
}

try {
  await site.start()
  const ues = await Promise.all([0, 1, 2].map((n) => handUe(site.reached(n), {})))
  const request = async (n: number) => (await ues[n]?.request('GET', own(n)))?.status
  for (let i = 0; i < 8; i++) for (const n of ues.keys()) assert.equal(await request(n), 200)
  const before = [...site.workers().values()]

  const ballast = openSync(join(mount, 'ballast'), 'w')
  for (let size = 65_536; size >= 1; size = Math.floor(size / 2)) {
    try {
      for (;;) writeSync(ballast, Buffer.alloc(size))
    } catch {
      // less than that is free
    }
  }
  closeSync(ballast)

  const vectors = () => site.lines().filter(({ event }) => event === 'zh.av-drawn').length
  const drawn = vectors()
  const stranger = handUb(site.ub, site.card(5))
  for (let i = 0; i < 20; i++) {
    for (const n of ues.keys()) assert.equal(await request(n), 200)
    const refused = await stranger.hello()
    assert.equal(refused.status, 503)
    assert.ok(Number(refused.header('retry-after')) > 0)
  }
  // a UE that has a key and no nonce
  for (const [n, ue] of ues.entries()) {
    const answer = await ue.request('GET', own(n), { nonce: await ue.freshNonce(), nc: 1 })
    assert.equal(answer.status, 200)
  }
  assert.equal(vectors(), drawn)
  const full = await readiness()
  assert.deepEqual([full.status, full.reasons, full.store.state], [503, ['no-worker'], 'read-only'])
  for (const { reasons } of full.workers) assert.deepEqual(reasons, ['store-read-only'])
  assert.equal(sumOf(await scrape(adminPortIn(site.stderr())), 'gba_proxy_store_writable'), 0)
  assert.deepEqual([...site.workers().values()], before)

  const [[number, pid] = [0, 0]] = [...site.workers()]
  process.kill(pid, 'SIGKILL')
  await eventually('it is replaced', () => (site.workers().get(number) ?? pid) !== pid)
  for (let i = 0; i < 8; i++) for (const n of ues.keys()) assert.equal(await request(n), 200)

  unlinkSync(join(mount, 'ballast'))
  for (const n of [5, 6]) await handUe(site.reached(n), {})
  assert.equal((await readiness()).status, 200)
  assert.equal(await site.stop(), 0)
  process.stdout.write('ok\n')
} finally {
  await site.close()
}
