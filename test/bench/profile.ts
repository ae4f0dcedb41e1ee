import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

// Where the time of a profile went: node test/bench/profile.ts DIRECTORY|FILE [functions]
// DIRECTORY as --profile of the benchmark fills it. Time that is not the program's (idle) does not count.

interface Profile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
    readonly children?: readonly number[]
  }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

const [place = '.', count = '30'] = process.argv.slice(2)
const files = place.endsWith('.cpuprofile')
  ? [place]
  : readdirSync(place).flatMap((name) => (name.endsWith('.cpuprofile') ? join(place, name) : []))

function show({ nodes, samples, timeDeltas }: Profile): void {
  const self = new Map<number, number>()
  for (const [i, id] of samples.entries()) self.set(id, (self.get(id) ?? 0) + (timeDeltas[i] ?? 0))
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)))
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const functions = new Map<string, number>()
  const parts = new Map<string, number>()
  let total = 0
  for (const { id, callFrame } of nodes) {
    const time = self.get(id) ?? 0
    if (time === 0 || callFrame.functionName === '(idle)' || callFrame.functionName === '(program)') continue
    total += time
    const name = `${callFrame.functionName || '(anonymous)'} ${shortened(callFrame.url)}:${callFrame.lineNumber + 1}`
    functions.set(name, (functions.get(name) ?? 0) + time)
    const part = partOf(id)
    parts.set(part, (parts.get(part) ?? 0) + time)
  }
  const list = (times: Map<string, number>, most: number) => {
    for (const [name, time] of [...times].sort(([, a], [, b]) => b - a).slice(0, most)) {
      console.log(`${((100 * time) / total).toFixed(1).padStart(6)} %  ${name}`)
    }
  }
  console.log('self time by part: what is native or general counts where it was called from')
  list(parts, 40)
  console.log('\nself time by function')
  list(functions, Number(count))

  /** The first file up the stack that tells what the work was for. */
  function partOf(id: number): string {
    for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
      const { functionName, url } = byId.get(at)?.callFrame ?? { functionName: '', url: '' }
      if (functionName === '(garbage collector)') return 'garbage collector'
      const part = PARTS.find(([pattern]) => pattern.test(`${url} ${functionName}`))
      if (part) return part[1]
    }
    return 'Node: the rest'
  }
}

const PARTS: readonly (readonly [RegExp, string])[] = [
  [/src\/store\/.*access/, 'our access log'],
  [/src\/store\/lmdb-nonce|src\/ua\/spend-nonce/, 'nonce ledger (lmdb)'],
  [/src\/store\/(?!lmdb-file|seal)/, 'other stores'],
  [/node_modules\/(?:pino|sonic-boom|thread-stream|@pinojs|fast-redact)|src\/observe\//, 'audit and log'],
  [/src\/zn\//, 'key cache (zn)'],
  [/src\/ua\/|src\/core\//, 'authenticate (ua, core)'],
  [/src\/ut\/(?:plugin|upstream)/, 'forwarding glue (ut)'],
  [/src\/ut\//, 'authorise, rewrite (ut)'],
  [/node_modules\/undici/, 'undici'],
  [/node_modules\/@fastify\/reply-from|node_modules\/@fastify\/http-proxy/, 'http-proxy, reply-from'],
  [/node_modules\/(?:fastify|find-my-way|avvio|@fastify|light-my-request|fast-)/, 'fastify'],
  [/src\/(?:ap|passage|connection|ap-listeners|server)/, 'ap'],
  [/node:(?:_http|internal\/http)/, 'Node: http'],
  [/node:(?:_tls|internal\/tls)/, 'Node: tls'],
  [/node:internal\/streams|node:stream/, 'Node: streams'],
  [/node:(?:net|internal\/stream_base)/, 'Node: net'],
  [/node:(?:internal\/timers|timers)/, 'Node: timers'],
  [/node:internal\/process\/task_queues/, 'Node: microtasks'],
]

function shortened(url: string): string {
  return url
    .replace(/^file:\/\//, '')
    .replace(/^.*\/node_modules\//, '')
    .replace(/^.*\/src\//, 'src/')
}

for (const file of files) show(JSON.parse(readFileSync(file, 'utf8')))
