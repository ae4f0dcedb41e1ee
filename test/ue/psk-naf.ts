import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { deriveKsNaf } from '../../src/core/kdf.ts'
import { nafIdOf } from '../../src/core/naf-id.ts'
import { PSK_HINT } from '../../src/core/psk-identity.ts'
import { Secret } from '../../src/core/secret.ts'
import type { Issued } from '../../src/tls/issue.ts'
import { type Door, doorOf, pskListener } from '../../src/tls/psk-listener.ts'
import type { fakeBsf } from './fake-network.ts'

export interface PskNafOptions {
  readonly sessions: Awaited<ReturnType<typeof fakeBsf>>['sessions']
  readonly credential: Issued
  /** B-TIDs whose key is another one here. */
  readonly wrong?: Set<string>
  /** B-TIDs that are not known any more. */
  readonly unknown?: Set<string>
  readonly answer?: (request: PskArrived, response: http.ServerResponse) => void
}

export interface PskArrived {
  readonly method: string
  readonly target: string
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
  readonly door: Door
  readonly socket: Socket
}

/** A NAF that takes bootstrapped keys beside its certificate, and tells each request by which door it came. */
export async function pskNaf({ sessions, credential, wrong, unknown, answer }: PskNafOptions) {
  const requests: PskArrived[] = []
  const sockets: Socket[] = []
  const answers = http.createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    const { method = '', url = '', headers, socket } = request
    const body = Buffer.concat(chunks).toString()
    const got = { method, target: url, headers, body, door: doorOf(socket), socket }
    requests.push(got)
    if (answer) answer(got, response)
    else response.end('content')
  })
  const server = pskListener({
    certificateContext: { cert: credential.certificate, key: credential.key, minVersion: 'TLSv1.2' },
    hint: PSK_HINT,
    limits: { peekBytes: 65_536, handshakeMs: 10_000 },
    pskFor: async (nafFqdn, btid, id) => {
      const session = unknown?.has(btid) ? undefined : sessions.get(btid)
      if (session && wrong?.has(btid)) return new Secret(new Uint8Array(32))
      return session && deriveKsNaf(session.ks, session.rand, session.impi, nafIdOf(nafFqdn, id))
    },
    onDoor: ({ socket }) => {
      sockets.push(socket)
      answers.emit('connection', socket)
    },
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    /** Those that made a handshake, in order. */
    sockets,
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
