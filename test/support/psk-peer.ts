import { spawn } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { btidOf, type Fqdn } from '../../src/core/identity.ts'
import type { UaProtocolId } from '../../src/core/naf-id.ts'
import { PSK_HINT } from '../../src/core/psk-identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { makeLabPki } from '../../src/tls/issue.ts'
import { doorOf, type PskRefusal, pskListener } from '../../src/tls/psk-listener.ts'

export const PSK_NAF = 'xcap.example.org' as Fqdn
export const PSK_BTID = btidOf(new Uint8Array(16).fill(7), 'bsf.example.org' as Fqdn)

/** Stands for Ks_NAF, in hex: another one for each Ua protocol. */
export const pskOf = (uaProtocolId: string) => Buffer.from(uaProtocolId.padEnd(32, '.')).toString('hex')

const LATE_MS = 150

/** A listener for one test, whose keys come late; it answers each request with the door it came by. */
export async function servePsk(t: TestContext): Promise<{ port: number; refusals: readonly PskRefusal[] }> {
  const pki = await makeLabPki({ names: { naf: [PSK_NAF], bsf: [], znClients: [] }, now: Date.now(), validDays: 1 })
  const refusals: PskRefusal[] = []
  const answers = http.createServer((request, response) => {
    const door = doorOf(request.socket)
    const by = door.kind === 'psk' ? `${door.btid} ${door.uaProtocolId} ${door.nafFqdn}` : ''
    response.end(`${request.method} by ${door.kind} ${by}`)
    request.resume()
  })
  const server = pskListener({
    certificateContext: { cert: pki.ap.certificate, key: pki.ap.key, minVersion: 'TLSv1.2' },
    hint: PSK_HINT,
    limits: { peekBytes: 65_536, handshakeMs: 10_000 },
    pskFor: async (nafFqdn, btid, uaProtocolId: UaProtocolId) => {
      await delay(LATE_MS)
      if (nafFqdn !== PSK_NAF || btid !== PSK_BTID) return undefined
      return new Secret(Buffer.from(pskOf(uaProtocolId), 'hex'))
    },
    onDoor: ({ socket }) => answers.emit('connection', socket),
    onRefused: (reason) => refusals.push(reason),
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    answers.closeAllConnections()
    server.close()
  })
  return { port: (server.address() as AddressInfo).port, refusals }
}

/** A GET and then a PUT with a body, on the one connection. */
const REQUESTS =
  `GET /a HTTP/1.1\r\nHost: ${PSK_NAF}\r\n\r\n` +
  `PUT /a HTTP/1.1\r\nHost: ${PSK_NAF}\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello`

/** Sends both requests through a TLS client that talks to its standard streams. @returns all that it says */
export async function askThrough(program: string, args: readonly string[]): Promise<string> {
  const child = spawn(program, args, { timeout: 20_000, killSignal: 'SIGKILL' })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('latin1')
    stream.on('data', (text: string) => {
      said += text
    })
  }
  child.stdin.on('error', () => {}) // it ends when the handshake fails
  child.stdin.write(REQUESTS) // and the stream stays open: some clients hang up at its end
  await once(child, 'close')
  return said
}
