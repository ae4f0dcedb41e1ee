import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { after } from 'node:test'
import { lmdbBootstrapStore, lmdbSqnStore, openLmdb } from '../../src/store/lmdb.ts'
import { lmdbNonceLedger } from '../../src/store/lmdb-nonce-ledger.ts'
import { aBootstrap, anImpi } from '../contract/samples.ts'

const children: ChildProcess[] = []

/** What a second process over the same directory can be told to do. */
export type Order =
  | { readonly do: 'put'; readonly n: number }
  | { readonly do: 'find'; readonly n: number }
  | { readonly do: 'count-up'; readonly times: number }
  /** So many at a time. */
  | { readonly do: 'use'; readonly ncs: readonly number[]; readonly atOnce: number }
  | { readonly do: 'write-for-ever' }

export interface Child {
  /** The answer to one order; 'write-for-ever' answers with each number that it has stored. */
  ask(order: Order): Promise<unknown>
  on(event: 'message', listener: (message: unknown) => void): unknown
  kill(): Promise<void>
}

/** A process of its own, killed at the latest when the test file ends. */
export async function aChild(directory: string): Promise<Child> {
  const child = fork(import.meta.filename, [directory], { stdio: 'inherit' })
  children.push(child)
  await once(child, 'message') // it is ready
  return {
    async ask(order) {
      child.send(order)
      const [answer] = await once(child, 'message')
      return answer
    },
    on: (event, listener) => child.on(event, listener),
    async kill() {
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    },
  }
}

async function serve(directory: string, send: (answer: unknown) => void): Promise<void> {
  const environment = openLmdb({ directory })
  const bootstraps = lmdbBootstrapStore(environment)
  const sqns = lmdbSqnStore(environment)
  const ledger = lmdbNonceLedger({ directory, maxNonces: 1_000, startedAt: 1_000 })

  async function obey(order: Order): Promise<unknown> {
    switch (order.do) {
      case 'put':
        return bootstraps.put(aBootstrap(order.n)).then(() => 'put')
      case 'find':
        return (await bootstraps.find(aBootstrap(order.n).btid, 1_000)) !== undefined
      case 'count-up': {
        const seen: number[] = []
        for (let left = order.times; left > 0; left--) {
          const sqn = await sqns.update(anImpi(1), (before) => {
            const after = Uint8Array.from(before ?? new Uint8Array(6))
            new DataView(after.buffer).setUint32(2, new DataView(after.buffer).getUint32(2) + 1)
            return after
          })
          seen.push(Buffer.from(sqn).readUInt32BE(2))
        }
        return seen
      }
      case 'use': {
        const nonce = { nonce: 'shared', mintedAt: 2_000, expiresAt: 9_000 }
        const accepted: number[] = []
        for (let at = 0; at < order.ncs.length; at += order.atOnce) {
          const ncs = order.ncs.slice(at, at + order.atOnce)
          const outcomes = await Promise.all(ncs.map((nc) => ledger.use(nonce, nc, 3_000)))
          accepted.push(...ncs.filter((_, n) => outcomes[n] === 'accepted'))
        }
        return accepted
      }
      case 'write-for-ever':
        for (let n = 0; ; n++) {
          await bootstraps.put(aBootstrap(n))
          await ledger.use({ nonce: 'shared', mintedAt: 2_000, expiresAt: 9_000 }, n, 3_000)
          send(n)
          await new Promise((resolve) => setImmediate(resolve)) // lets the message out
        }
    }
  }

  process.on('message', async (order: Order) => send(await obey(order)))
  send('ready')
}

if (process.send === undefined || process.argv[1] !== import.meta.filename) {
  after(() => {
    for (const child of children) child.kill('SIGKILL')
  })
} else {
  const [, , directory = ''] = process.argv
  await serve(directory, (answer) => process.send?.(answer))
}
