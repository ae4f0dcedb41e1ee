import { STOP_GRACE_MS } from './server.ts'

interface Closes {
  close(): Promise<unknown>
}

/** What one process has to give up, as far as it got when it started. */
export interface Stopping {
  /** By what speaks there. */
  readonly servers: readonly (readonly [name: string, server: Closes, ...unknown[]])[]
  readonly admin: Closes | undefined
  readonly keys: Partial<Closes> | undefined
  readonly proxy: { close(): void } | undefined
  readonly state: Closes
  /** Told how long it has, ms. */
  readonly traces: { close(mostMs: number): Promise<void> } | undefined
  readonly auditFile: { end(): void } | undefined
}

/**
 * Finishes what is in flight and saves the rest, in this order: who makes something ends before who keeps it. What an
 * operator relies on is saved first: the state has access logs to write. Traces have what is left of the time, and take
 * spans until then.
 * @param begunAt  on the clock of `now`
 * @throws what the state says when it does not close; the others have ended then all the same
 */
export async function stopAll(stopping: Stopping, begunAt: number, now = () => performance.now()): Promise<void> {
  const { servers, admin, keys, proxy, state, traces, auditFile } = stopping
  const closed = (which: (name: string) => boolean) =>
    Promise.all(servers.filter(([name]) => which(name)).map(([, server]) => server.close()))
  await closed((name) => name !== 'as')
  // The AP of this process may have had requests on their way to it.
  await closed((name) => name === 'as')
  await admin?.close()
  await keys?.close?.()
  proxy?.close()
  try {
    await state.close()
  } finally {
    await traces?.close(Math.max(0, begunAt + STOP_MS - now()))
    auditFile?.end()
  }
}

/** All of a stop, ms: a supervisor, and what runs containers, kill soon after that. */
const STOP_MS = STOP_GRACE_MS + 1_000
