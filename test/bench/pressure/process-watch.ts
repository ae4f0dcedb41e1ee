import { readdirSync, readFileSync } from 'node:fs'

/** A process at one moment. */
export interface Sample {
  readonly atS: number
  readonly rssMb: number
  /** Of that, what is no file: LMDB's pages are. */
  readonly anonymousMb: number
  readonly descriptors: number
}

/** Looks at a process, again and again. */
export function watchProcess(pid: number, everyMs: number) {
  const begin = performance.now()
  const samples: Sample[] = []
  const look = () => samples.push(sampleOf(pid, (performance.now() - begin) / 1000))
  look()
  const timer = setInterval(look, everyMs)
  return {
    samples,
    stop: () => clearInterval(timer),
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

/** Least squares. @returns units of y per unit of x */
export function slopeOf(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (of: (point: readonly [number, number]) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length
  const meanX = mean(([x]) => x)
  const meanY = mean(([, y]) => y)
  const above = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0)
  const below = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0)
  return above / below
}

/** The lowest of each spell: what is left when garbage has gone. */
export function floorOf(points: readonly (readonly [x: number, y: number])[], spell: number) {
  const lowest = new Map<number, readonly [number, number]>()
  for (const point of points) {
    const key = Math.floor(point[0] / spell)
    const known = lowest.get(key)
    if (known === undefined || point[1] < known[1]) lowest.set(key, point)
  }
  return [...lowest.values()]
}
