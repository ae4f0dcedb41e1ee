import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createLog } from '../src/observe/log.ts'
import { RequestLog } from '../src/request-log.ts'
import { createServer } from '../src/server.ts'
import { testBsf } from './support/bsf.ts'
import { handUb } from './support/hand-ub.ts'

const LIMITS = {
  bodyBytes: 1_000,
  headerBytes: 16_384,
  headersTimeoutMs: 1_000,
  requestTimeoutMs: 1_000,
  keepAliveTimeoutMs: 1_000,
  connections: 10,
}

function recording() {
  const lines: Record<string, unknown>[] = []
  const destination = { write: (line: string) => lines.push(JSON.parse(line)) }
  const log = createLog({ level: 'trace', identities: 'hashed', destination })
  let children = 0
  const { child } = log
  log.child = function (this: typeof log, ...of: Parameters<typeof child>) {
    children++
    return Reflect.apply(child, this, of)
  } as typeof child
  return { log, lines, children: () => children }
}

describe('the log of a request', () => {
  for (const level of ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const) {
    test(`writes a line of level ${level} as a child of the log does`, () => {
      const { log, lines } = recording()
      const request = new RequestLog(log, { requestId: 'r-1' })
      for (const each of [log.child({ requestId: 'r-1' }), request, request]) each[level]({ status: 500 }, 'ut.failed')
      for (const { time: _, ...rest } of lines) {
        assert.deepEqual(rest, { level, requestId: 'r-1', status: 500, event: 'ut.failed' })
      }
      assert.equal(lines.length, 3)
    })
  }

  test('has a level of its own, and children that carry its id', () => {
    const { log, lines } = recording()
    const request = new RequestLog(log, { requestId: 'r-1' }, { level: 'warn' })
    assert.equal(request.level, 'warn')
    request.info('a')
    request.child({ step: 'forward' }).warn('b')
    request.level = 'info'
    request.info('c')
    request.silent()
    assert.deepEqual(
      lines.map(({ event, requestId, step }) => [event, requestId, step]),
      [
        ['b', 'r-1', 'forward'],
        ['c', 'r-1', undefined],
      ],
    )
    assert.equal(log.level, 'trace')
  })

  test('is not made for a request that logs nothing, and names the request that does', async () => {
    const { log, lines, children } = recording()
    const server = createServer({ log, limits: LIMITS })
    server.get('/quiet', async () => 'done')
    server.get('/loud', async (request, reply) => {
      request.log.error({ id: request.id }, 'ut.failed')
      reply.log.warn({ id: request.id }, 'ut.failed')
      return 'done'
    })
    await server.ready()
    const before = children()
    await server.inject('/quiet')
    assert.equal(children(), before)
    for (let i = 0; i < 2; i++) await server.inject('/loud')
    await server.close()
    assert.equal(lines.length, 4)
    for (const { id, requestId } of lines) assert.equal(requestId, id)
    assert.equal(new Set(lines.map(({ requestId }) => requestId)).size, 2)
  })
})

test('the line about a fault of ours has the id of the request that met it', async () => {
  const bsf = await testBsf({ avSource: { draw: () => Promise.reject(new TypeError('a bug')) } })
  try {
    assert.equal((await handUb(bsf.at, bsf.cards[0]).hello()).status, 500)
    const failed = bsf
      .logged()
      .split('\n')
      .filter((line) => line.includes('ub.failed'))
    const refused = bsf.decisions.find(({ event }) => event === 'ub.refused')
    assert.equal(refused?.record.code, 'INTERNAL')
    assert.deepEqual(
      failed.map((line) => JSON.parse(line).requestId),
      [refused?.record.requestId],
    )
  } finally {
    await bsf.close()
  }
})
