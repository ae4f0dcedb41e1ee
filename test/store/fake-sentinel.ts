import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { readReply } from './resp.ts'

/** A Sentinel that says what it is told to, when it is told to. */
export interface FakeSentinel {
  readonly node: string
  /** From now on those who ask for the master wait. @returns lets them have their answers */
  hold(): () => void
  /** How many wait. */
  readonly waiting: () => number
  /** How many want to hear of another master. */
  readonly listening: () => number
  /** Tells them that there is one. */
  announce(): void
  close(): Promise<void>
}

/** @param masterPort  on 127.0.0.1 */
export async function fakeSentinel(masterPort: number): Promise<FakeSentinel> {
  const sockets = new Set<Socket>()
  const subscribers = new Set<Socket>()
  let held: (() => void)[] | undefined
  const bulk = (text: string) => `$${Buffer.byteLength(text)}\r\n${text}\r\n`
  const array = (...items: readonly string[]) => `*${items.length}\r\n${items.join('')}`

  function answer(socket: Socket, [name = '', sub = '']: readonly string[]): void {
    const isOf = (...words: readonly string[]) => `${name} ${sub}`.toLowerCase() === words.join(' ')
    if (isOf('sentinel', 'get-master-addr-by-name')) {
      const tell = () => socket.write(array(bulk('127.0.0.1'), bulk(String(masterPort))))
      if (held) held.push(tell)
      else tell()
    } else if (isOf('sentinel', 'sentinels')) socket.write(array())
    else if (name.toLowerCase() === 'subscribe') {
      subscribers.add(socket)
      socket.write(array(bulk('subscribe'), bulk(sub), ':1\r\n'))
    } else socket.write('+OK\r\n')
  }
  const server = createServer((socket) => {
    sockets.add(socket)
    let buffered = Buffer.alloc(0)
    socket.on('error', () => {})
    socket.on('close', () => {
      sockets.delete(socket)
      subscribers.delete(socket)
    })
    socket.on('data', (part) => {
      buffered = Buffer.concat([buffered, part])
      for (let read = readReply(buffered, 0); read; read = readReply(buffered, 0)) {
        buffered = buffered.subarray(read.end)
        answer(socket, read.value as string[])
      }
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    node: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    hold() {
      const those: (() => void)[] = []
      held = those
      return () => {
        held = undefined
        for (const tell of those) tell()
      }
    },
    waiting: () => held?.length ?? 0,
    listening: () => subscribers.size,
    announce() {
      const message = array(bulk('message'), bulk('+switch-master'), bulk(`gba 127.0.0.1 1 127.0.0.1 ${masterPort}`))
      for (const socket of subscribers) socket.write(message)
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
