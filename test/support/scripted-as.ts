import { type AddressInfo, createServer, type Socket } from 'node:net'

/** A request as its octets arrived. */
export interface Arrived {
  /** Request line and fields, without the empty line. */
  readonly head: string
  readonly body: Buffer
}

export interface ScriptedAs {
  readonly port: number
  readonly url: string
  readonly arrived: readonly Arrived[]
  /** Connections that are open now. */
  readonly open: () => number
  close(): Promise<void>
}

/** An application server that answers octet for octet, or badly, or not at all: `script` has the socket. */
export async function scriptedAs(script: (socket: Socket, request: Arrived) => void): Promise<ScriptedAs> {
  const arrived: Arrived[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    let buffered: Buffer = Buffer.alloc(0)
    socket.on('data', (part) => {
      buffered = Buffer.concat([buffered, part])
      for (let request = takeRequest(buffered); request; request = takeRequest(buffered)) {
        buffered = request.rest
        arrived.push(request)
        script(socket, request)
      }
    })
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    arrived,
    open: () => sockets.size,
    close: () =>
      new Promise((closed) => {
        server.close(() => closed())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

/** Framed by Content-Length alone: that is all the proxy may send. */
function takeRequest(octets: Buffer): (Arrived & { readonly rest: Buffer }) | undefined {
  const headEnd = octets.indexOf('\r\n\r\n')
  if (headEnd < 0) return undefined
  const head = octets.toString('latin1', 0, headEnd)
  const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0)
  const start = headEnd + 4
  if (octets.length < start + length) return undefined
  return { head, body: octets.subarray(start, start + length), rest: octets.subarray(start + length) }
}
