import type { Socket } from 'node:net'
import { type ClientHello, MAX_HELLO_OCTETS, readClientHello } from './hello.ts'

export type Peeked =
  /** It is still to be read from the socket. `hello` undefined: it is none that could be read; the TLS engine judges. */
  { readonly outcome: 'ready'; readonly hello: ClientHello | undefined } | { readonly outcome: 'too-large' | 'late' }

/** Keeps what a peer sent, however small it cut it: an octet in a buffer of its own would hold two hundred. */
export function gather(chunks: Uint8Array[], chunk: Uint8Array): void {
  chunks.push(chunk)
  if (chunks.length >= 64) chunks.splice(0, chunks.length, Buffer.concat(chunks))
}

/**
 * Reads the ClientHello that a connection begins with, and puts it back.
 * @param done called once, and not at all when the connection ends before
 */
export function peekHello(raw: Socket, timeoutMs: number, done: (peeked: Peeked) => void): void {
  const chunks: Buffer[] = []
  let have = 0
  let lookAt = 0
  const finish = (peeked: Peeked) => {
    clearTimeout(deadline)
    raw.removeListener('close', forget)
    raw.removeListener('data', onData)
    raw.pause()
    // Only now: whoever listens to a flowing socket is given at once what is put back.
    if (peeked.outcome === 'ready') raw.unshift(Buffer.concat(chunks))
    done(peeked)
  }
  const onData = (chunk: Buffer) => {
    gather(chunks, chunk)
    have += chunk.length
    if (have < lookAt) return
    const reading = readClientHello(Buffer.concat(chunks))
    if (reading.outcome === 'more' && reading.atLeast <= MAX_HELLO_OCTETS) {
      lookAt = reading.atLeast
    } else if (reading.outcome === 'more' || reading.outcome === 'too-large') {
      finish({ outcome: 'too-large' })
    } else {
      finish({ outcome: 'ready', hello: reading.outcome === 'complete' ? reading.value : undefined })
    }
  }
  const deadline = setTimeout(() => finish({ outcome: 'late' }), timeoutMs)
  const forget = () => clearTimeout(deadline)
  raw.once('close', forget)
  raw.on('data', onData)
  raw.resume()
}
