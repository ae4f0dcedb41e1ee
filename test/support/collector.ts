import { createServer, type RequestListener } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'

/** A span as it was exported. */
export interface ExportedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: readonly Attribute[]
  readonly status: { readonly code?: number }
}

interface Attribute {
  readonly key: string
  readonly value: { readonly stringValue?: string; readonly intValue?: string }
}

export interface Collector {
  readonly endpoint: string
  /** What arrived, octet for octet. */
  readonly bodies: readonly string[]
  readonly spans: () => readonly ExportedSpan[]
  readonly connections: () => number
  close(): Promise<void>
}

/**
 * Takes OTLP over HTTP, in JSON.
 * @param answer  status and body; undefined: none ever
 * @param tls  certificate and key, where it speaks TLS
 */
export async function collector(
  answer: () => readonly [status: number, body: string] | undefined = () => [200, '{}'],
  tls?: { readonly cert: string; readonly key: string },
): Promise<Collector> {
  const bodies: string[] = []
  let connections = 0
  const listener: RequestListener = (request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      bodies.push(Buffer.concat(parts).toString())
      const given = answer()
      if (given) response.writeHead(given[0], { 'content-type': 'application/json' }).end(given[1])
    })
  }
  const server = tls ? createTlsServer(tls, listener) : createServer(listener)
  server.on('connection', () => connections++)
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  return {
    endpoint: `${tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`,
    bodies,
    spans: () => bodies.flatMap((body) => JSON.parse(body).resourceSpans[0].scopeSpans[0].spans),
    connections: () => connections,
    close: () =>
      new Promise<void>((closed) => {
        server.close(() => closed())
        server.closeAllConnections()
      }),
  }
}

/** Attributes of a span by name, numbers as text. */
export const attributesOf = ({ attributes }: ExportedSpan): Record<string, string | undefined> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue]))
