import { Agent, type IncomingHttpHeaders, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { type AsOptions, createAs } from '../../src/as/server.ts'
import { memoryDocumentStore } from '../../src/store/memory.ts'

export const ALICE = 'sip:alice@home.example'
export const BOB = 'sip:bob@home.example'
export const LISTS = 'application/resource-lists+xml'
export const ELEMENT = 'application/xcap-el+xml'
export const ATTRIBUTE = 'application/xcap-att+xml'
export const INDEX = `/resource-lists/users/${ALICE}/index`

export const DOCUMENT = `<?xml version="1.0" encoding="UTF-8"?>
<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists">
  <list name="team">
    <entry uri="sip:carol@home.example"/>
    <entry uri="sip:dave@home.example"><display-name>Dave</display-name></entry>
  </list>
</resource-lists>
`

export interface Sent {
  readonly body?: string | Uint8Array
  readonly type?: string
  /** Values of X-3GPP-Asserted-Identity as sent; Alice by default, none if null. */
  readonly as?: string | null
  readonly headers?: Readonly<Record<string, string>>
}

/** The node of Alice's list document that a selector in clear means. */
export const node = (selector: string) => `${INDEX}/~~/${encodeURIComponent(selector).replaceAll('%2F', '/')}`

export interface Received {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** A server of its own for one test, asked over a real socket: the target goes out octet for octet. */
export async function xcap(t: TestContext, options: Partial<AsOptions> = {}) {
  const app = createAs({ documents: memoryDocumentStore(), ...options })
  const agent = new Agent({ keepAlive: true })
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.after(async () => {
    agent.destroy()
    await app.close()
  })
  const { port } = app.server.address() as AddressInfo
  return (method: string, path: string, { body, type, as = `"${ALICE}"`, headers }: Sent = {}) => {
    const { promise, resolve, reject } = Promise.withResolvers<Received>()
    const sent = {
      ...(as !== null && { 'X-3GPP-Asserted-Identity': as }),
      ...(type !== undefined && { 'Content-Type': type }),
      ...(body !== undefined && { 'Content-Length': Buffer.byteLength(body) }),
      ...headers,
    }
    request({ host: '127.0.0.1', port, method, path, headers: sent, agent }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      )
    })
      .on('error', reject)
      .end(body)
    return promise
  }
}
