import http, { type ClientRequest, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { UeError } from './fault.ts'
import type { HeaderList, UeRequestMessage, UeResponseMessage } from './message.ts'
import { headOf, receive } from './receive.ts'
import type { UeUrl } from './url.ts'

/** The request that asks for TLS before anything else is said: it holds nothing but the name of the server. */
export function upgradeRequest({ authority }: UeUrl): UeRequestMessage {
  const headers: HeaderList = [
    ['Host', authority],
    ['Upgrade', 'TLS/1.2'],
    ['Connection', 'Upgrade'],
  ]
  return { method: 'OPTIONS', target: '*', headers, body: new Uint8Array() }
}

/**
 * Asks the server of a plain connection to go on with TLS, and no further: the handshake is the caller's.
 * @throws UeError UPGRADE_REFUSED for anything but a 101 that names TLS and has nothing behind it
 * @see RFC 2817 section 3.2 (2000)
 */
export function askForTls(socket: Socket, message: UeRequestMessage): Promise<UeResponseMessage> {
  return new Promise((resolve, reject) => {
    const request = requestOver(socket, message)
    const refuse = (what: string) => reject(new UeError('UPGRADE_REFUSED', what))
    request.on('upgrade', (response, _socket, head) => {
      if (!namesTls(response)) refuse('the server changes to something other than TLS')
      else if (head.length > 0) refuse('the server speaks before the TLS handshake')
      else resolve({ ...headOf(response), body: new Uint8Array() })
    })
    // A 101 without Upgrade: Node takes it for one of the answers before the answer.
    request.on('information', ({ statusCode }) => {
      if (statusCode === 101) refuse('the server does not say what it changes to')
    })
    request.on('response', (response) => {
      response.resume()
      refuse(`the server does not change to TLS: it answered ${response.statusCode}`)
    })
    request.on('error', reject)
    request.end()
  })
}

/**
 * The answer to the request that asked for TLS, which the server gives inside.
 * @see RFC 2817 section 3.3 (2000)
 */
export function answerInside(socket: TLSSocket, message: UeRequestMessage, limit: number): Promise<UeResponseMessage> {
  return new Promise((resolve, reject) => {
    const ear = new Ear(socket)
    const request = requestOver(ear, message)
    request.on('response', (response) => {
      receive(response, limit)
        .finally(() => ear.detach())
        .then(resolve, reject)
    })
    request.on('error', (error) => {
      ear.detach()
      reject(error)
    })
    request.end()
  })
}

function requestOver(stream: Duplex, { method, target, headers }: UeRequestMessage): ClientRequest {
  const request = http.request({ method, path: target, setHost: false, createConnection: () => stream })
  for (const [name, value] of headers) request.setHeader(name, value)
  return request
}

function namesTls({ headers }: IncomingMessage): boolean {
  return (headers.upgrade ?? '').split(',').some((product) => /^TLS\/\d/i.test(product.trim()))
}

/**
 * What a server says, and nothing of what it is told: the request that is answered inside was sent before, but HTTP's
 * parser takes no answer without one. At the end the connection stays.
 */
class Ear extends Duplex {
  readonly #socket: Socket

  constructor(socket: Socket) {
    super()
    this.#socket = socket
    socket.on('data', this.#hear)
    socket.once('end', this.#end)
    socket.once('close', this.#end)
  }

  detach(): void {
    this.#socket.removeListener('data', this.#hear)
    this.#socket.removeListener('end', this.#end)
    this.#socket.removeListener('close', this.#end)
  }

  override _read(): void {
    // what comes is taken
  }

  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done()
  }

  readonly #hear = (chunk: Buffer): void => {
    this.push(chunk)
  }

  readonly #end = (): void => {
    this.detach()
    this.push(null)
  }
}
