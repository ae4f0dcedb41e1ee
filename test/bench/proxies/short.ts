import { setTimeout as delay } from 'node:timers/promises'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import type { Server } from './servers.ts'
import { cpuS } from './started.ts'
import { type Account, type Bootstrapped, challengeIn, NAF, piecesOf, requestOf } from './ues.ts'
import type { Measured } from './wrk.ts'

/** What a client does over and over, from nothing to nothing; it throws when anything is not as it should be. */
export type Errand = (n: number) => Promise<void>

const AT_ONCE = 16

/**
 * Has a pool of clients run an errand, and counts all of it: CPU time is read before the first and after the last.
 * The clients are slower than the servers and have another core, so only the servers' CPU time tells something.
 */
export async function runErrands({ pids }: Pick<Server, 'pids'>, seconds: number, errand: Errand): Promise<Measured> {
  const processes = pids()
  const [from, cpuFrom] = [performance.now(), cpuS(processes)]
  let done = 0
  const client = async () => {
    while (performance.now() < from + seconds * 1000) await errand(done++)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, client))
  await delay(20) // connections that are being closed
  const cpu = cpuS(processes) - cpuFrom
  return { cpuUs: (cpu / done) * 1e6, requests: done, perS: done / ((performance.now() - from) / 1000) }
}

export interface CurlPattern {
  readonly port: number
  readonly ca: Buffer
  /** Absent: the server asks for nobody, and the first answer is the document. */
  readonly accounts?: readonly Account[]
  readonly resumed: boolean
}

/** Connects, is challenged where there are accounts, gets the document, closes. */
export function curlPattern({ port, ca, accounts, resumed }: CurlPattern): Errand {
  const sessions: Buffer[] = []
  const anybody: Account = { impu: 'sip:user0@example.com', username: '', password: '' }
  return async (n) => {
    const account = accounts?.[n % accounts.length] ?? anybody
    const session = sessions[n % Math.max(sessions.length, 1)]
    const connection = await open({ port, ca, ...(session && { session }) })
    try {
      const { socket } = connection
      if (session && !socket.isSessionReused()) throw new Error('the session did not resume')
      socket.on('session', (fresh: Buffer) => {
        if (resumed && sessions.length < AT_ONCE) sessions.push(fresh)
      })
      if (accounts) {
        const challenge = challengeIn(
          await connection.ask(requestOf(piecesOf('GET', 'small', account, undefined), 0), 401),
        )
        await connection.ask(requestOf(piecesOf('GET', 'small', account, challenge), 1), 200)
      } else {
        await connection.ask(requestOf(piecesOf('GET', 'small', account, undefined), 0), 200)
      }
    } finally {
      connection.close()
    }
  }
}

/** Connects with the shared key, gets the document, closes. */
export function pskPattern(port: number, ca: Buffer, holders: readonly Bootstrapped[], version: '1.2' | '1.3'): Errand {
  return async (n) => {
    const holder = holders[n % holders.length]
    if (!holder) throw new RangeError('nobody holds a key')
    const connection = await open({ port, ca, ...holder.psk[version] })
    try {
      const request = piecesOf('GET', 'small', holder, undefined)
      await connection.ask(requestOf(request, 0), 200)
    } finally {
      connection.close()
    }
  }
}

interface Connection {
  readonly socket: TLSSocket
  /** @throws Error when the answer has another status */
  ask(request: string, status: number): Promise<string>
  close(): void
}

export async function open(options: ConnectionOptions): Promise<Connection> {
  const socket = connect({ host: '127.0.0.1', servername: NAF, ALPNProtocols: ['http/1.1'], ...options })
  let received = ''
  let wake: (() => void) | undefined
  let broken: Error | undefined
  const tell = (error?: Error) => {
    broken ??= error
    wake?.()
  }
  socket.setEncoding('latin1')
  socket.on('data', (part: string) => {
    received += part
    tell()
  })
  socket.on('error', tell)
  socket.on('end', () => tell(new Error(`the server has closed: ${received.slice(0, 400)}`)))
  const woken = () =>
    new Promise<void>((resolve) => {
      wake = resolve
    })
  const connected = woken()
  socket.once('secureConnect', () => tell())
  await connected
  if (broken) throw broken
  return {
    socket,
    async ask(request, status) {
      received = ''
      socket.write(request)
      for (;;) {
        const whole = wholeLength(received)
        if (whole !== undefined && received.length >= whole) break
        if (broken) throw broken
        await woken()
      }
      const found = Number(received.slice(9, 12))
      if (found !== status) throw new Error(`${found} in the place of ${status}: ${received.slice(0, 600)}`)
      return received
    },
    close: () => socket.end(),
  }
}

/** Octets of an answer, once its header is there. */
function wholeLength(answer: string): number | undefined {
  const end = answer.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const length = /\r\ncontent-length: *(\d+)/i.exec(answer.slice(0, end))?.[1]
  if (length === undefined) throw new Error(`an answer without a length: ${answer.slice(0, end)}`)
  return end + 4 + Number(length)
}
