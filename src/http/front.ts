import type { Server as HttpsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { HeadReader } from './alike-head.ts'
import type { Exchange } from './exchange.ts'
import { CHECK_MS, FrontConnection, type FrontHost, type FrontLimits } from './front-connection.ts'
import type { RequestHead } from './request-head.ts'

export type { Exchange } from './exchange.ts'
export type { FrontLimits } from './front-connection.ts'

export interface FrontOptions {
  readonly limits: FrontLimits
  /** Connections that the general server is to have from the beginning. */
  readonly isForGeneral: (socket: TLSSocket) => boolean
  /** Whether the lane takes requests like this. */
  readonly takes: (head: RequestHead) => boolean
  readonly serve: (exchange: Exchange) => void
}

export interface Front {
  /** Every answer from now on is the last of its connection; those that wait for a request are closed a moment later. */
  stop(lingerMs: number): void
  /** Connections that it has. */
  readonly open: number
}

/**
 * Stands before an HTTPS server and takes the requests that a narrow grammar matches completely. Any other request, and
 * the rest of its connection, goes to the server as if nobody had stood before it.
 */
export function strictFront(server: HttpsServer, { limits, isForGeneral, takes, serve }: FrontOptions): Front {
  const connections = new Set<FrontConnection>()
  const general = server.listeners('secureConnection') as ((socket: TLSSocket) => void)[]
  server.removeAllListeners('secureConnection')
  let isStopping = false
  const heads = new HeadReader(limits)
  let forgotAt = Date.now()
  const host: FrontHost = {
    limits,
    heads,
    keepAliveHeader: `connection: keep-alive\r\nkeep-alive: timeout=${Math.floor(limits.keepAliveTimeoutMs / 1000)}\r\n`,
    get isStopping() {
      return isStopping
    },
    takes,
    serve,
    handOver(socket, octets) {
      fronts.delete(socket)
      // Octets are put back while nobody reads, or the one who reads has them at once, again and again.
      socket.pause()
      for (const listener of general) listener.call(server, socket)
      if (octets.length > 0) socket.unshift(octets)
      socket.resume()
    },
    gone(connection) {
      connections.delete(connection)
    },
  }
  server.on('secureConnection', (socket: TLSSocket) => {
    if (isForGeneral(socket)) {
      for (const listener of general) listener.call(server, socket)
      return
    }
    const connection = new FrontConnection(host, socket, Date.now())
    connections.add(connection)
    fronts.set(socket, connection)
  })
  const timer = setInterval(() => {
    const now = Date.now()
    for (const connection of connections) connection.check(now)
    if (Math.abs(now - forgotAt) < FORGET_MS) return
    forgotAt = now
    heads.forget()
  }, CHECK_MS).unref()
  server.once('close', () => clearInterval(timer))
  return {
    stop(lingerMs) {
      isStopping = true
      setTimeout(() => {
        for (const connection of connections) if (connection.isIdle) connection.endAfterAnswer()
      }, lingerMs).unref()
    },
    get open() {
      return connections.size
    },
  }
}

/** Heads that are in use are soon known again. */
const FORGET_MS = 600_000

const fronts = new WeakMap<Socket, FrontConnection>()

/** Ends a connection of a front now, or after the answer that is under way. @returns false for any other connection */
export function endAfterAnswer(socket: Socket): boolean {
  const connection = fronts.get(socket)
  connection?.endAfterAnswer()
  return connection !== undefined
}
