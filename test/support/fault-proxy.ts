import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** What goes wrong on the way to a server. Octets are counted in the answers, on each connection anew. */
export type Fault =
  | { readonly kind: 'pass' }
  /** Nobody listens; what was open is reset. */
  | { readonly kind: 'closed' }
  /** Connections are taken, and nothing goes either way any more, no end either. */
  | { readonly kind: 'hang' }
  /** What is asked arrives, and nothing comes back, no end either. */
  | { readonly kind: 'half-open' }
  /** Each piece of an answer comes late. */
  | { readonly kind: 'slow'; readonly ms: number }
  | { readonly kind: 'throttle'; readonly octetsPerS: number }
  /** RST after so many octets; 0: as soon as something is asked. */
  | { readonly kind: 'reset'; readonly afterOctets: number }
  /** FIN after so many octets. */
  | { readonly kind: 'cut'; readonly afterOctets: number }
  /** These octets, and the end, in the place of an answer. */
  | { readonly kind: 'garbage'; readonly octets: Uint8Array }
  /** The head, and then the piece again and again, in the place of an answer. */
  | { readonly kind: 'endless'; readonly head: string; readonly piece: string; readonly everyMs: number }

/** A listener of loopback in front of a server, which it spares no trouble. */
export interface FaultProxy {
  readonly port: number
  /** Connections taken so far. */
  readonly taken: () => number
  /** Those that are open now. */
  readonly open: () => number
  /** From now on this happens, on the connections that there are as well. */
  become(fault: Fault): Promise<void>
  /** Where new connections lead. */
  aim(port: number): void
  close(): Promise<void>
}

const PIECES_PER_S = 20

/** @param port  of the server, on loopback */
export async function faultProxy(port: number): Promise<FaultProxy> {
  let target = port
  let fault: Fault = { kind: 'pass' }
  let taken = 0
  const open = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
    taken++
    open.add(near)
    near.once('close', () => open.delete(near))
    relay(near, connect({ port: target, host: '127.0.0.1', allowHalfOpen: true, noDelay: true }), () => fault)
  })
  await listen(server, 0)
  const own = (server.address() as AddressInfo).port
  return {
    port: own,
    taken: () => taken,
    open: () => open.size,
    async become(next) {
      fault = next
      if (next.kind === 'closed' && server.listening) {
        const closed = new Promise((done) => server.close(done))
        for (const near of open) near.resetAndDestroy()
        await closed
      }
      if (next.kind !== 'closed' && !server.listening) await listen(server, own)
    },
    aim(next) {
      target = next
    },
    async close() {
      const closed = server.listening ? new Promise((done) => server.close(done)) : undefined
      for (const near of open) near.destroy()
      await closed
    },
  }
}

function relay(near: Socket, far: Socket, fault: () => Fault): void {
  const over = new AbortController()
  const both = (end: (socket: Socket) => void) => () => {
    over.abort()
    end(near)
    end(far)
  }
  const destroy = both((socket) => socket.destroy())
  const reset = both((socket) => socket.resetAndDestroy())
  const isMute = () => fault().kind === 'hang' || fault().kind === 'half-open'
  near.on('error', destroy).once('close', destroy)
  // What is reset at one side is reset at the other.
  far.on('error', () => !isMute() && reset())
  let isSpent = false
  let answered = 0

  near.on('data', (octets) => {
    const now = fault()
    if (now.kind === 'hang') return
    if (now.kind === 'garbage' && !isSpent) {
      isSpent = true
      near.end(now.octets)
    } else if (now.kind === 'endless' && !isSpent) {
      isSpent = true
      near.write(now.head)
      const timer = setInterval(() => near.writable && near.write(now.piece), now.everyMs)
      over.signal.addEventListener('abort', () => clearInterval(timer))
    } else if (now.kind === 'reset' && now.afterOctets === 0) reset()
    else if (now.kind === 'cut' && now.afterOctets === 0) near.end()
    else if (far.writable && !isSpent) far.write(octets)
  })
  // Who has hung up waits for nothing more.
  near.on('end', () => (isMute() || far.readableEnded || far.destroyed ? destroy() : far.end()))

  /** One after the other: a late piece never overtakes an earlier one. */
  let sent: Promise<void> = Promise.resolve()
  const answer = (octets: Buffer) => {
    sent = sent.then(() => pass(octets))
  }
  far.on('data', answer)
  far.on('end', () => {
    sent = sent.then(() => {
      if (!isMute() && !isSpent) near.end()
    })
  })

  async function pass(octets: Buffer): Promise<void> {
    const now = fault()
    if (isSpent || isMute() || !near.writable) return
    switch (now.kind) {
      case 'slow':
        await delay(now.ms)
        break
      case 'throttle':
        return dribble(octets, now.octetsPerS)
      case 'reset':
      case 'cut': {
        const rest = now.afterOctets - answered
        if (octets.length < rest) break
        isSpent = true
        const last = octets.subarray(0, Math.max(0, rest))
        if (now.kind === 'cut') near.end(last)
        // A reset may overtake what was written just before.
        else near.write(last, () => setTimeout(reset, 20))
        return
      }
    }
    if (near.writable && !isMute()) near.write(octets)
    answered += octets.length
  }

  async function dribble(octets: Buffer, octetsPerS: number): Promise<void> {
    const size = Math.max(1, Math.round(octetsPerS / PIECES_PER_S))
    for (let at = 0; at < octets.length && near.writable; at += size) {
      await delay(1000 / PIECES_PER_S)
      if (isMute() || !near.writable) return
      near.write(octets.subarray(at, at + size))
      answered += Math.min(size, octets.length - at)
    }
  }
}

/** The port may be in use for a moment, as that of a connection of somebody else. */
async function listen(server: Server, port: number): Promise<void> {
  for (let left = 50; ; left--) {
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen(port, '127.0.0.1', () => {
          server.off('error', reject)
          resolve()
        })
      })
      return
    } catch (error) {
      if (left === 0) throw error
      await delay(50)
    }
  }
}
