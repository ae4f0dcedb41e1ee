import type { HandUe } from '../../support/hand-ue.ts'
import { type RawConnection, rawConnect } from '../../support/raw-client.ts'

/** A UE that has bootstrapped, with a connection that it keeps: one request at a time. */
export interface KeptUe {
  readonly ue: HandUe
  /** @returns the status; 0 when the connection broke. A nonce that is no longer good is replaced, and counts as none. */
  send(method: string, target: string, body?: string): Promise<number>
  close(): void
}

/** @param ue  may have several connections, each with a nonce of its own */
export async function keptUe(ue: HandUe): Promise<KeptUe> {
  let nonce = await ue.freshNonce()
  let nc = 0
  let connection: RawConnection | undefined
  async function attempt(method: string, target: string, body: string | undefined): Promise<number> {
    try {
      connection ??= await openConnection()
      const octets = await ue.signed(method, target, { nonce, nc: ++nc, ...(body !== undefined && { body }) })
      connection.write(octets)
      const answer = await connection.answer(method)
      if (answer.status === 401 && /stale=true/i.test(answer.header('www-authenticate') ?? '')) {
        nonce = await ue.freshNonce()
        nc = 0
        return await attempt(method, target, body)
      }
      if (answer.header('connection') === 'close') drop()
      return answer.status
    } catch {
      drop()
      return 0
    }
  }
  async function openConnection(): Promise<RawConnection> {
    const opened = await rawConnect({ ...ue.at, limitMs: DAY_MS })
    void opened.closed.then(() => {
      if (connection === opened) connection = undefined
    })
    return opened
  }
  function drop(): void {
    connection?.close()
    connection = undefined
  }
  return { ue, send: attempt, close: drop }
}

const DAY_MS = 86_400_000
