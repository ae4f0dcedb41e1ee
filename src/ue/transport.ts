import http from 'node:http'
import type { Duplex } from 'node:stream'
import type { Btid } from '../core/identity.ts'
import { type ConnectorOptions, connectionOf, createConnector } from './connection.ts'
import { faultOf, IdleConnectionLost, type Phase } from './connection-fault.ts'
import type { HeaderList, Sent, UeConnection } from './message.ts'
import type { PskKey } from './psk.ts'
import { receive } from './receive.ts'
import type { UeUrl } from './url.ts'

export interface TransportOptions extends ConnectorOptions {
  /** Of an answer; 16 MiB by default. */
  readonly maxBodyBytes?: number
  /** Kept by default. */
  readonly connections?: 'kept' | 'one-per-request'
}

/** A request to a URL before the connection is known. */
export interface Outgoing {
  readonly url: UeUrl
  readonly method: string
  readonly body: Uint8Array
  /** The connection stands on this key, and on that of no other bootstrap. */
  readonly key?: PskKey | undefined
  /**
   * Called once the connection stands, since Ks_NAF depends on its suite; and again for each further connection that
   * is tried, so that no nonce count goes out twice.
   */
  readonly headers: (connection: UeConnection) => HeaderList
  readonly signal?: AbortSignal | undefined
}

export interface Transport {
  /** @throws UeError, whatever goes wrong */
  send(outgoing: Outgoing): Promise<Sent>
  /** A TLS handshake and nothing else; nothing at all for plain HTTP. @throws UeError */
  probe(target: Pick<Outgoing, 'url' | 'key' | 'signal'>): Promise<UeConnection>
  close(): void
}

/**
 * HTTP/1.1 with the request target as given. `node:http` rather than undici: it takes a connection that stands, so that
 * its suite is known before the first header is written.
 */
export function createTransport(options: TransportOptions = {}): Transport {
  const keepAlive = options.connections !== 'one-per-request'
  const limit = options.maxBodyBytes ?? 16 * 1024 * 1024
  const connector = createConnector(options)
  const pools = new Map<string, { readonly btid: Btid | undefined; readonly pool: Pool }>()

  /** Connections to one server; under a key, to those that stand on it. */
  const poolFor = ({ url, key }: Outgoing): Pool => {
    const held = pools.get(url.origin)
    if (held && held.btid === key?.btid) return held.pool
    held?.pool.retire()
    const pool = new Pool(keepAlive, (signal) => connector.open(url, key, signal))
    pools.set(url.origin, { btid: key?.btid, pool })
    return pool
  }

  const attempt = (outgoing: Outgoing): Promise<Sent> =>
    new Promise((resolve, reject) => {
      const { url, method, signal } = outgoing
      const agent = poolFor(outgoing)
      const target: PoolRequest = { method, path: url.target, setHost: false, agent, opening: signal }
      const request = http.request(signal ? { ...target, signal } : target)
      let phase: Phase = 'connect'
      const fail = (error: unknown) => reject(faultOf(error, phase, signal, request.reusedSocket))
      request.on('error', fail)
      request.on('socket', (socket) => {
        phase = 'sent'
        try {
          const connection = connectionOf(socket, outgoing.key !== undefined)
          const headers = outgoing.headers(connection)
          for (const [name, values] of grouped(headers)) request.setHeader(name, values)
          const { body } = outgoing
          request.on('response', (response) => {
            phase = 'answered'
            receive(response, limit).then((answer) => {
              resolve({ connection, request: { method, target: url.target, headers, body }, response: answer })
            }, fail)
          })
          request.end(body.length > 0 ? body : undefined)
        } catch (error) {
          fail(error)
          request.destroy()
        }
      })
    })

  return {
    async send(outgoing) {
      for (;;) {
        try {
          return await attempt(outgoing)
        } catch (error) {
          // Nothing was wrong, and the pool has one less.
          if (!(error instanceof IdleConnectionLost) || !IDEMPOTENT.has(outgoing.method)) throw error
        }
      }
    },
    async probe({ url, key, signal }) {
      if (url.scheme === 'http' && !options.upgrade && !key) return {}
      const socket = await connector.open(url, key, signal)
      const connection = connectionOf(socket, key !== undefined)
      socket.end()
      return connection
    },
    close() {
      for (const { pool } of pools.values()) pool.destroy()
    },
  }
}

/** What may be sent again without asking. @see RFC 9110 clause 9.2.2 */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'TRACE'])

/** Node keeps `signal` to itself; who opens the connection wants to know it too. */
interface PoolRequest extends http.RequestOptions {
  readonly opening: AbortSignal | undefined
}

type Opened = (error: Error | null, socket: Duplex) => void

/** Node's pool of connections, over connections that are ready when it gets them. */
class Pool extends http.Agent {
  readonly #open: (signal?: AbortSignal) => Promise<Duplex>

  constructor(keepAlive: boolean, open: (signal?: AbortSignal) => Promise<Duplex>) {
    super({ keepAlive })
    this.#open = open
  }

  override createConnection({ opening }: PoolRequest, opened?: Opened): undefined {
    this.#open(opening).then(
      (socket) => opened?.(null, socket),
      // Node reads no socket where there is an error; its type wants one all the same.
      (error: Error) => opened?.(error, undefined as never),
    )
  }

  /** What is under way may end; then no connection is left. */
  retire(): void {
    this.maxFreeSockets = 0
    for (const idle of Object.values(this.freeSockets)) for (const socket of [...(idle ?? [])]) socket.destroy()
  }
}

/** Node takes a field's lines together; their order among themselves stays. */
function grouped(headers: HeaderList): Iterable<[name: string, values: string | string[]]> {
  const fields = new Map<string, [string, string[]]>()
  for (const [name, value] of headers) {
    const field = fields.get(name.toLowerCase())
    if (field) field[1].push(value)
    else fields.set(name.toLowerCase(), [name, [value]])
  }
  return [...fields.values()].map(([name, values]) => [name, values.length === 1 ? (values[0] ?? '') : values])
}
