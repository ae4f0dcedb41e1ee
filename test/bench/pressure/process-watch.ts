import { readdirSync, readFileSync } from 'node:fs'
import { median } from './pace.ts'

/** A process at one moment. */
export interface Sample {
  readonly atS: number
  readonly rssMb: number
  /** Of that, what is no file: LMDB's pages are. */
  readonly anonymousMb: number
  readonly descriptors: number
  /** In use on the heap, where somebody found out. */
  readonly heapMb?: number
}

/**
 * Looks at a process, again and again.
 * @param before  is done before each look. @returns megabytes on the heap, where it knows
 */
export function watchProcess(
  pid: number,
  everyMs: number,
  before: () => Promise<number | undefined> = async () => undefined,
) {
  const begin = performance.now()
  const samples: Sample[] = []
  let isOver = false
  const look = async () => {
    const heapMb = await before()
    if (isOver) return
    const sample = sampleOf(pid, (performance.now() - begin) / 1000)
    samples.push(heapMb === undefined ? sample : { ...sample, heapMb })
    if (!isOver) setTimeout(look, everyMs)
  }
  void look()
  return {
    samples,
    stop() {
      isOver = true
    },
  }
}

export function sampleOf(pid: number, atS = 0): Sample {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const mb = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024
  return {
    atS,
    rssMb: mb('VmRSS'),
    anonymousMb: mb('RssAnon'),
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
  }
}

/** The median of the slopes between all pairs: a few odd looks do not count. @returns units of y per unit of x */
export function slopeOf(points: readonly (readonly [x: number, y: number])[]): number {
  const slopes = points.flatMap(([x, y], i) =>
    points.slice(i + 1).map(([laterX, laterY]) => (laterY - y) / (laterX - x)),
  )
  return median(slopes)
}
