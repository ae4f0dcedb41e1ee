import type { Socket } from 'node:net'
import { type ClientHello, MAX_HELLO_OCTETS, type Reading, readClientHello } from './hello.ts'

export type Peeked =
  /** It is still to be read from the socket. `hello` undefined: it is none that could be read; the TLS engine judges. */
  { readonly outcome: 'ready'; readonly hello: ClientHello | undefined } | { readonly outcome: 'too-large' | 'late' }

/** What a connection began with: all that was read, and what it is. */
export interface Opening {
  readonly octets: Buffer
  readonly reading: Exclude<Reading<ClientHello>, { readonly outcome: 'more' }>
}

/** Of a socket that closes on errors, and whose closing is dealt with. */
export const ignoreError = (): void => {}

/** Keeps what a peer sent, however small it cut it: an octet in a buffer of its own would hold two hundred. */
export function gather(chunks: Uint8Array[], chunk: Uint8Array): void {
  chunks.push(chunk)
  if (chunks.length >= 64) chunks.splice(0, chunks.length, Buffer.concat(chunks))
}

/**
 * Takes the ClientHello that a connection begins with from the socket, which is paused then. Nothing is put back.
 * @param most octets that are held for it
 * @param done called once, and not at all when the connection ends before
 * @returns what stops it before that
 */
export function takeOpening(raw: Socket, most: number, done: (opening: Opening) => void): () => void {
  const chunks: Buffer[] = []
  let have = 0
  let lookAt = 0
  const onData = (chunk: Buffer) => {
    gather(chunks, chunk)
    have += chunk.length
    if (have < lookAt) return
    const octets = chunks.length === 1 ? chunk : Buffer.concat(chunks)
    const reading = readClientHello(octets)
    if (reading.outcome === 'more' && reading.atLeast <= most) {
      lookAt = reading.atLeast
      return
    }
    stop()
    done({ octets, reading: reading.outcome === 'more' ? { outcome: 'too-large' } : reading })
  }
  const stop = () => {
    raw.removeListener('data', onData)
    raw.pause()
  }
  raw.on('data', onData)
  raw.resume()
  return stop
}

/**
 * Reads the ClientHello that a connection begins with, and puts it back.
 * @param done called once, and not at all when the connection ends before
 */
export function peekHello(raw: Socket, timeoutMs: number, done: (peeked: Peeked) => void): void {
  const finish = (peeked: Peeked) => {
    clearTimeout(deadline)
    raw.removeListener('close', forget)
    done(peeked)
  }
  const stop = takeOpening(raw, MAX_HELLO_OCTETS, ({ octets, reading }) => {
    if (reading.outcome === 'too-large') {
      finish({ outcome: 'too-large' })
      return
    }
    // Only now: whoever listens to a flowing socket is given at once what is put back.
    raw.unshift(octets)
    finish({ outcome: 'ready', hello: reading.outcome === 'complete' ? reading.value : undefined })
  })
  const deadline = setTimeout(() => {
    stop()
    finish({ outcome: 'late' })
  }, timeoutMs)
  const forget = () => clearTimeout(deadline)
  raw.once('close', forget)
}
