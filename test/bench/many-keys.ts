import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type KeyHolders, provisionKeys } from './proxies/keys.ts'
import { measurePair, reportPair, type Side } from './proxies/pairs.ts'
import { openBench } from './proxies/servers.ts'
import { paceOf } from './proxies/sites.ts'
import { type HoldersOnTurn, runWrk } from './proxies/wrk.ts'

// What a request costs with a million B-TIDs in the caches and the store, in units of what it costs with a thousand:
// node test/bench/many-keys.ts [--keys 1000000] [--quick] [--rounds N] [--out DIRECTORY]
// Each UE has a nonce of its own and uses it again and again; requests are spread over all of them. Before that each has
// been there.

const { values } = parseArgs({
  options: {
    keys: { type: 'string' },
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    out: { type: 'string' },
  },
})
const FEW = 1_000
const many = Number(values.keys ?? (values.quick ? 50_000 : 1_000_000))
const pace = paceOf(values.quick)
const rounds = Number(values.rounds ?? (values.quick ? 3 : 11))

const directory = mkdtempSync(join(tmpdir(), 'gba-proxy-bench-'))
const bench = await openBench(directory)
process.once('SIGINT', () => process.exit(130))
process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
try {
  const sides = [await side(many), await side(FEW)] as const
  const pair = await measurePair(sides, { rounds, atMost: 1.3, withRss: true })
  reportPair(pair, 'many-keys', values.out)
} finally {
  await bench.close()
}

async function side(count: number): Promise<Side> {
  let made: KeyHolders | undefined
  const server = await bench.product('p256', {
    // Room for all of them, and for a nonce of each.
    config: { store: { maxNonces: 4 * many }, ap: { zn: { maxEntries: 2 * many } } },
    prepare: async (home) => {
      made = await provisionKeys(home, count)
    },
  })
  if (!made) throw new TypeError('it was prepared')
  const holders: HoldersOnTurn = { ...made, turn: 0, used: 0 }
  const measure = (seconds = pace.measuredS) =>
    runWrk(directory, server, {
      ...{ connections: 64, seconds, warmUpS: pace.warmUpS, pieces: [], counts: [], holders, document: 'small' },
    })
  const [wanted, began] = [Math.max(count, pace.hotRequests), performance.now()]
  while (holders.turn < wanted) await measure(4.6 - pace.warmUpS)
  const s = Math.round((performance.now() - began) / 1000)
  console.log(`${count} B-TIDs: ${holders.turn} requests in ${s} s before anything counts`)
  return { name: `${count.toLocaleString('en')} B-TIDs`, server, measure: () => measure() }
}
