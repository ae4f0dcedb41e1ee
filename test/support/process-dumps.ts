import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/**
 * What the runtime can write down of a running process, and what of it can be searched.
 *
 * A heap snapshot is taken after a full garbage collection, and has the text of every string that is alive then: those
 * in private fields, closures, weak maps and compiled code, with the source of the code. V8 cuts each behind its first
 * 1024 characters; `--heap-snapshot-string-limit` lifts that. It also cuts each at its first NUL, and writes only the
 * parts of one that was concatenated and never read since: `textsIn` joins them. It has nothing of what is in ArrayBuffers (Buffers and
 * Uint8Arrays, small ones included), in KeyObjects, in TLS contexts and in the engine of LMDB, and no numbers: octets in
 * an array of numbers, or in a BigInt, are not seen. These are where keys are meant to be; a core dump would have them.
 *
 * A diagnostic report has the command line, the environment, stacks, addresses and sizes.
 */
export const dumpFlags = (directory: string): readonly string[] => [
  '--heapsnapshot-signal=SIGUSR2',
  '--heap-snapshot-string-limit=1000000000',
  '--report-on-signal',
  '--report-signal=SIGWINCH',
  `--diagnostic-dir=${directory}`,
  `--report-directory=${directory}`,
]

export interface Dumps {
  readonly heap: HeapSnapshot
  readonly report: string
}

/** Of a process that was started with `dumpFlags`. @param directory  as it was given there */
export async function dumpsOf(pid: number, directory: string): Promise<Dumps> {
  const dump = async (signal: NodeJS.Signals, ending: string, isWhole: RegExp) => {
    const before = await readdir(directory)
    process.kill(pid, signal)
    const giveUpAt = Date.now() + PATIENCE_MS
    for (;;) {
      const file = (await readdir(directory)).find((name) => name.endsWith(ending) && !before.includes(name))
      const text = file === undefined ? '' : await readFile(join(directory, file), 'utf8')
      if (isWhole.test(text.slice(-8))) return text
      assert.ok(Date.now() < giveUpAt, `no ${ending} of ${pid}`)
      await delay(100)
    }
  }
  const report = await dump('SIGWINCH', '.json', /\n\}\s*$/)
  return { heap: JSON.parse(await dump('SIGUSR2', '.heapsnapshot', /\]\}\s*$/)), report }
}

const PATIENCE_MS = 20_000

/** As V8 writes it, as far as it is used here. */
export interface HeapSnapshot {
  readonly snapshot: {
    readonly meta: {
      readonly node_fields: readonly string[]
      readonly node_types: readonly [readonly string[], ...unknown[]]
      readonly edge_fields: readonly string[]
      readonly edge_types: readonly [readonly string[], ...unknown[]]
    }
  }
  readonly nodes: readonly number[]
  readonly edges: readonly number[]
  readonly strings: readonly string[]
}

/**
 * All texts of a heap, those in parts joined.
 * @returns octets: a character up to U+00FF is one of its own, so that octets that were made a text are found as well
 */
export function textsIn(heap: HeapSnapshot): Buffer {
  return Buffer.from([...heap.strings, ...concatenatedIn(heap)].join('\n'), 'latin1')
}

function concatenatedIn({ snapshot: { meta }, nodes, edges, strings }: HeapSnapshot): string[] {
  const field = (name: string) => meta.node_fields.indexOf(name)
  const [typeAt, nameAt, edgeCountAt] = [field('type'), field('name'), field('edge_count')]
  const [edgeNameAt, edgeToAt] = [meta.edge_fields.indexOf('name_or_index'), meta.edge_fields.indexOf('to_node')]
  const edgeTypeAt = meta.edge_fields.indexOf('type')
  const [nodeSize, edgeSize] = [meta.node_fields.length, meta.edge_fields.length]
  const concatenated = meta.node_types[0].indexOf('concatenated string')
  const internal = meta.edge_types[0].indexOf('internal')
  const [first, second] = [strings.indexOf('first'), strings.indexOf('second')]
  const parts = new Map<number, [first: number, second: number]>()
  for (let node = 0, edge = 0; node < nodes.length; node += nodeSize) {
    const after = edge + (nodes[node + edgeCountAt] ?? 0) * edgeSize
    if (nodes[node + typeAt] === concatenated) {
      const found: [number, number] = [-1, -1]
      for (let at = edge; at < after; at += edgeSize) {
        if (edges[at + edgeTypeAt] !== internal) continue
        const name = edges[at + edgeNameAt]
        if (name === first) found[0] = edges[at + edgeToAt] ?? -1
        if (name === second) found[1] = edges[at + edgeToAt] ?? -1
      }
      parts.set(node, found)
    }
    edge = after
  }
  const inOthers = new Set([...parts.values()].flat())
  return [...parts.keys()].filter((node) => !inOthers.has(node)).map((node) => textOf(node))

  /** One that was added to in a loop is as deep as it is long. */
  function textOf(node: number): string {
    const text: string[] = []
    const left = [node]
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const its = parts.get(next)
      if (its) left.push(its[1], its[0])
      else text.push(strings[nodes[next + nameAt] ?? -1] ?? '')
    }
    return text.join('')
  }
}
