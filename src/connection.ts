import type { Server } from 'node:https'
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { FastifyRequest } from 'fastify'
import { uaProtocolIdOfSuite } from './core/naf-id.ts'
import { GbaError } from './errors.ts'
import { endAfterAnswer } from './http/front.ts'
import type { Connection } from './passage.ts'
import { answerOn } from './server.ts'
import { type FrontFacts, frontOf } from './tls/front.ts'
import { type FrontHeaderNames, readFrontHeaders } from './tls/front-headers.ts'
import { doorOf } from './tls/psk-listener.ts'
import { cameInClear } from './tls/upgrade.ts'
import { type PeerCertificate, readPeerCertificate } from './ua/certificate.ts'

type Asked = Pick<FastifyRequest, 'raw'>

/** What our own TLS tells, and of a front that passes it on no more than where the client is. */
export function connectionOf({ raw }: Asked): Connection {
  const known = connectionOfSocket(raw.socket)
  // Who wrote a request before there was TLS is unknown, whoever made the handshake then.
  return cameInClear(raw) ? { source: known.source, serverName: known.serverName, suiteId: known.suiteId } : known
}

/** The same of a connection on which nothing came in clear. */
export function connectionOfSocket(socket: Socket): Connection {
  let known = connections.get(socket)
  if (known === undefined) {
    known = read(socket)
    connections.set(socket, known)
  }
  return known.certificate && outdated.has(socket) ? { ...known, certificate: 'refused' } : known
}

/** What a front tells, that ended the client's TLS and speaks to us over a connection of its own. */
export function connectionBehind(headers: FrontHeaderNames | undefined): (request: Asked) => Connection {
  return ({ raw }) => {
    const facts = headers ? readFrontHeaders(raw.rawHeaders, headers) : frontOf(raw.socket)
    if (facts === 'malformed') throw new GbaError('UA_FRONT_SILENT', 'malformed headers of the front')
    if (!facts?.tls) throw new GbaError('UA_FRONT_SILENT', 'the front tells of no TLS')
    const { suite, version } = facts.tls
    if (version !== undefined && !MODERN.has(version)) throw new GbaError('UA_FRONT_SILENT', `TLS ${version}`)
    return {
      source: sourceOf(raw.socket, facts),
      front: raw.socket.remoteAddress ?? '',
      serverName: facts.serverName,
      suiteId: suite === undefined ? undefined : uaProtocolIdOfSuite(suite),
    }
  }
}

const MODERN: ReadonlySet<string> = new Set(['TLSv1.2', 'TLSv1.3'])

/** Ends the connections of a server that came in by certificate, since who may do so has changed. */
export type EndCertificateConnections = () => void

/**
 * Follows the connections of a server that come in by certificate. Those that wait for a request are closed, the others
 * after their answer; what comes on one all the same is refused, for its certificate was judged by rules that are gone.
 */
export function followCertificates(server: Server): EndCertificateConnections {
  const open = new Set<TLSSocket>()
  server.on('secureConnection', (socket: TLSSocket) => {
    if (!socket.getPeerX509Certificate()) return
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  return () => {
    for (const socket of open) {
      outdated.add(socket)
      if (endAfterAnswer(socket)) continue
      const answer = answerOn(socket)
      if (answer) answer.once('close', () => socket.end())
      else socket.end()
    }
  }
}

const outdated = new WeakSet<Socket>()

/** Read once: nothing of it changes while the connection lasts. */
const connections = new WeakMap<Socket, Connection>()

function read(socket: Socket): Connection {
  const source = sourceOf(socket, frontOf(socket))
  if (!(socket instanceof TLSSocket)) return { source, serverName: undefined, suiteId: undefined }
  const suiteId = uaProtocolIdOfSuite(socket.getCipher()?.standardName ?? '')
  const door = doorOf(socket)
  if (door.kind === 'psk') return { source, serverName: door.nafFqdn, suiteId, psk: door }
  const { servername } = socket
  const serverName = typeof servername === 'string' && servername !== '' ? servername : undefined
  const certificate = certificateOf(socket)
  return { source, serverName, suiteId, ...(certificate && { certificate }) }
}

const sourceOf = (socket: Socket, facts: FrontFacts | undefined): string =>
  facts?.clientAddress ?? socket.remoteAddress ?? ''

function certificateOf(socket: TLSSocket): PeerCertificate | 'refused' | undefined {
  const certificate = socket.getPeerX509Certificate()
  if (!certificate) return undefined
  return socket.authorized ? readPeerCertificate(certificate) : 'refused'
}
