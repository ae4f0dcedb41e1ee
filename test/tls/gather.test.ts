import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { describe, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import fc from 'fast-check'
import { gather, type Peeked, peekHello } from '../../src/tls/peek.ts'

const MOST = 64

describe('gather', () => {
  test('keeps every octet in its order, in few chunks, however it comes', () => {
    const chunk = fc.uint8Array({ maxLength: 40 })
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 400, size: 'max' }), (given) => {
        const before = given.map((each) => Buffer.from(each))
        const kept: Uint8Array[] = []
        for (const [i, each] of given.entries()) {
          gather(kept, each)
          assert.ok(kept.length < MOST, `${kept.length} chunks of ${i + 1}`)
        }
        assert.deepEqual(Buffer.concat(kept), Buffer.concat(before))
        assert.deepEqual(
          given.map((each) => Buffer.from(each)),
          before,
        )
      }),
    )
  })

  test('holds 60000 single octets in few chunks', () => {
    const kept: Uint8Array[] = []
    for (let i = 0; i < 60_000; i++) gather(kept, Uint8Array.of(i % 251))
    assert.ok(kept.length < MOST)
    const whole = Buffer.concat(kept)
    assert.equal(whole.length, 60_000)
    assert.ok(whole.every((octet, i) => octet === i % 251))
  })
})

describe('a hello that comes octet by octet', () => {
  test('is read, and put back as it came', { timeout: 20_000 }, async (t) => {
    const hello = await helloOf('naf.example.org')
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => server.close())
    const client = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', noDelay: true })
    t.after(() => client.destroy())
    const [raw] = (await once(server, 'connection')) as [Socket]
    t.after(() => raw.destroy())
    let chunks = 0
    raw.on('data', () => chunks++)
    const peeked = new Promise<Peeked>((done) => peekHello(raw, 15_000, done))
    for (const octet of hello) {
      client.write(Uint8Array.of(octet))
      await new Promise(setImmediate)
    }
    const { outcome, ...rest } = await peeked
    assert.equal(outcome, 'ready')
    assert.equal('hello' in rest && rest.hello?.serverName, 'naf.example.org')
    assert.ok(chunks > MOST, `only ${chunks} chunks came`)
    assert.deepEqual(raw.read(), hello)
  })
})

/** What a client begins with. */
async function helloOf(servername: string): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connectTls({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', servername })
  client.on('error', () => {})
  const [socket] = (await once(server, 'connection')) as [Socket]
  const [first] = (await once(socket, 'data')) as [Buffer]
  client.destroy()
  socket.destroy()
  server.close()
  assert.equal(first.length, 5 + first.readUInt16BE(3), 'one record')
  return first
}
