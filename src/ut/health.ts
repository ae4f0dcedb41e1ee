import { Pool } from 'undici'
import type { AppServerAddresses } from './addresses.ts'
import { connectorTo, type HealthCheck, type Upstream } from './upstream.ts'

/** A change in what an address says of itself. */
export interface HealthChange {
  readonly appServer: string
  readonly address: string
  readonly isWell: boolean
}

/**
 * Asks each address of a server that wants it, apart from what users send, and tells what is known of the addresses. No
 * check keeps the process alive.
 */
export function checkHealth(
  server: Upstream,
  addresses: AppServerAddresses,
  onChange: (change: HealthChange) => void,
): { close(): void } {
  const { health, name } = server
  if (!health) return { close() {} }
  const checks = addresses.urls.map((url) =>
    check(server, url, health, (isWell, isChange) => {
      const now = performance.now()
      addresses.checked(url, isWell, now + goodForMs(health), now)
      if (isChange) onChange({ appServer: name, address: url, isWell })
    }),
  )
  return {
    close() {
      for (const each of checks) each.close()
    },
  }
}

/** A bad word counts until the next one must have come: if there is none, requests try the address again. */
const goodForMs = ({ intervalMs, timeoutMs }: HealthCheck): number => 2 * intervalMs + timeoutMs

/** How many bad answers came in a row, and what follows. `isWell` undefined: too few to say. */
export function judged(failures: number, isGood: boolean, limit: number) {
  const count = isGood ? 0 : failures + 1
  const isWell = isGood ? true : count >= limit ? false : undefined
  const isChange = isGood ? failures >= limit : count === limit
  return { failures: count, isWell, isChange }
}

function check(
  server: Upstream,
  url: string,
  health: HealthCheck,
  tell: (isWell: boolean, isChange: boolean) => void,
): { close(): void } {
  const { intervalMs, timeoutMs, path } = health
  const connect = connectorTo({ ...server, url, connectTimeoutMs: timeoutMs })
  const pool = new Pool(url, { connections: 1, pipelining: 1, connect })
  let failures = 0
  let isAsking = false
  let isClosed = false
  const ask = async () => {
    if (isAsking) return
    isAsking = true
    const isGood = await isExpected(pool, path, health)
    isAsking = false
    if (isClosed) return
    const verdict = judged(failures, isGood, health.failures)
    failures = verdict.failures
    if (verdict.isWell !== undefined) tell(verdict.isWell, verdict.isChange)
  }
  const timer = setInterval(ask, intervalMs).unref()
  void ask()
  return {
    close() {
      isClosed = true
      clearInterval(timer)
      void pool.destroy()
    },
  }
}

async function isExpected(pool: Pool, path: string, { timeoutMs, expectStatus }: HealthCheck): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(timeoutMs)
    const { statusCode, body } = await pool.request({ method: 'GET', path, signal })
    // What it says beside its status is read away, so that the connection serves the next check.
    await body.dump({ limit: MAX_BODY_BYTES, signal })
    return statusCode === expectStatus
  } catch {
    return false
  }
}

const MAX_BODY_BYTES = 65_536
