import { connect } from 'node:net'
import { freePorts } from '../../src/lab.ts'
import type { ScriptRunner } from '../../src/store/redis-rate-limiter.ts'
import { start } from '../support/programs.ts'

/** A redis-server of its own, and one connection to it. */
export interface TestRedis extends ScriptRunner {
  command(...words: readonly string[]): Promise<unknown>
  close(): Promise<void>
}

/** Redis on a free port of loopback, without a file, spoken to in the least of RESP. */
export async function aRedis(): Promise<TestRedis> {
  const { ub: port } = await freePorts()
  const options = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', '/tmp']
  const server = await start('redis-server', options, ({ stdout }) => stdout().includes('Ready to accept connections'))
  const socket = connect({ host: '127.0.0.1', port })
  const waiting: PromiseWithResolvers<unknown>[] = []
  let buffered = Buffer.alloc(0)
  socket.on('error', (error) => {
    for (const { reject } of waiting.splice(0)) reject(error)
  })
  socket.on('data', (part) => {
    buffered = Buffer.concat([buffered, part])
    for (let read = readReply(buffered, 0); read; read = readReply(buffered, 0)) {
      buffered = buffered.subarray(read.end)
      const { value } = read
      const next = waiting.shift()
      if (value instanceof Error) next?.reject(value)
      else next?.resolve(value)
    }
  })
  const command = (...words: readonly string[]): Promise<unknown> => {
    const reply = Promise.withResolvers<unknown>()
    waiting.push(reply)
    const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`)
    socket.write(`*${words.length}\r\n${parts.join('')}`)
    return reply.promise
  }
  return {
    command,
    eval: (script, keys, args) => command('EVAL', script, `${keys.length}`, ...keys, ...args),
    async close() {
      socket.destroy()
      await server.stop()
    },
  }
}

/** One reply from `at` on; undefined while it is not whole. */
export function readReply(octets: Buffer, at: number): { readonly value: unknown; readonly end: number } | undefined {
  const lineEnd = octets.indexOf('\r\n', at)
  if (lineEnd < 0) return undefined
  const text = octets.toString('utf8', at + 1, lineEnd)
  const after = lineEnd + 2
  switch (String.fromCharCode(octets[at] ?? 0)) {
    case '+':
      return { value: text, end: after }
    case '-':
      return { value: new Error(text), end: after }
    case ':':
      return { value: Number(text), end: after }
    case '$': {
      const end = after + Number(text)
      if (Number(text) < 0) return { value: null, end: after }
      return octets.length < end + 2 ? undefined : { value: octets.toString('utf8', after, end), end: end + 2 }
    }
    default: {
      const items: unknown[] = []
      let end = after
      for (let left = Number(text); left > 0; left--) {
        const item = readReply(octets, end)
        if (!item) return undefined
        items.push(item.value)
        end = item.end
      }
      return { value: items, end }
    }
  }
}
