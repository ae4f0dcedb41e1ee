import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { Duplex } from 'node:stream'

/** A request as Node's own server understood it. */
export interface NodeRequest {
  readonly method: string | undefined
  readonly target: string | undefined
  readonly rawHeaders: readonly string[]
  readonly host: string | undefined
  readonly keepsAlive: boolean
  /** One character per octet. */
  body: string
  isWhole: boolean
}

export interface NodeReading {
  readonly requests: readonly NodeRequest[]
  /** What it found wrong, or took for something else than a request; undefined: nothing. */
  readonly fault: string | undefined
}

/** Node's server with the parser options of src/server.ts; it listens nowhere. */
export function nodeOracle(headerBytes: number): (chunks: readonly Buffer[]) => Promise<NodeReading> {
  const readings = new WeakMap<Duplex, { requests: NodeRequest[]; fault: string | undefined }>()
  const server: Server = createServer({ maxHeaderSize: headerBytes, requireHostHeader: false })
  const blame = (socket: Duplex, fault: string) => {
    const reading = readings.get(socket)
    if (reading) reading.fault ??= fault
    socket.destroy()
  }
  server.on('clientError', (error: Error & { code?: string }, socket) =>
    blame(socket, `${error.code} ${error.message}`),
  )
  for (const event of ['connect', 'upgrade']) {
    server.on(event, (request: IncomingMessage) => blame(request.socket, event))
  }
  for (const event of ['checkContinue', 'checkExpectation']) {
    server.on(event, (request: IncomingMessage) => blame(request.socket, event))
  }
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const seen: NodeRequest = {
      method: request.method,
      target: request.url,
      rawHeaders: request.rawHeaders,
      host: request.headers.host,
      keepsAlive: response.shouldKeepAlive,
      body: '',
      isWhole: false,
    }
    readings.get(request.socket)?.requests.push(seen)
    request.on('data', (chunk: Buffer) => {
      seen.body += chunk.toString('latin1')
    })
    request.on('end', () => {
      seen.isWhole = request.complete
      response.end()
    })
  })
  return (chunks) => {
    const { promise, resolve } = Promise.withResolvers<NodeReading>()
    const socket = new Duplex({
      read: () => {},
      write: (_chunk, _encoding, done) => done(),
    })
    const reading = { requests: [], fault: undefined }
    readings.set(socket, reading)
    socket.once('close', () => resolve(reading))
    server.emit('connection', socket)
    for (const chunk of chunks) socket.push(chunk)
    socket.push(null)
    return promise
  }
}
