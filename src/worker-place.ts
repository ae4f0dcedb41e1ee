import { createServer } from 'node:net'
import { availableParallelism } from 'node:os'
import type { Config } from './config/schema.ts'

/**
 * Where one of several processes behind the same ports stands. Each has listening sockets of its own (SO_REUSEPORT),
 * among which the kernel shares connections out evenly: none passes through another process, and a process that dies
 * takes its own only.
 */
export interface WorkerPlace {
  /** From 1. */
  readonly number: number
  /** Where those that are up listen, by listener; undefined: none is, and whoever has one of our ports is in the way. */
  readonly ports: Readonly<Record<string, number>> | undefined
}

/** It alone sweeps the stores, and tells what is odd or expires. */
export const FIRST_WORKER = 1

/** Whether this process does what is to be done once per host. */
export const isFirst = (worker: number | undefined): boolean => worker === undefined || worker === FIRST_WORKER

/** How many processes a configuration means on this machine. */
export function workerCount({ workers }: Pick<Config, 'workers'>, parallelism = availableParallelism()): number {
  return workers === 'auto' ? Math.min(parallelism, MOST_WORKERS) : workers
}

/** As many readers as a store has room for, with a margin for tools. */
const MOST_WORKERS = 64

/**
 * Makes sure that nobody listens there: with SO_REUSEPORT another program of this user would go unnoticed, and get half
 * of the connections.
 * @throws the error of `listen`, EADDRINUSE as a rule
 */
export async function requireFree(place: { readonly host: string; readonly port: number }): Promise<void> {
  if (place.port === 0) return
  const probe = createServer()
  await new Promise<void>((free, taken) => {
    probe.once('error', taken)
    probe.listen({ host: place.host, port: place.port }, free)
  })
  await new Promise((closed) => probe.close(closed))
}
