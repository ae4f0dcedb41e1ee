import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Duplex } from 'node:stream'
import { before, describe, test } from 'node:test'
import tls, { type ConnectionOptions } from 'node:tls'
import fc from 'fast-check'
import {
  type ClientHello,
  MAX_HELLO_OCTETS,
  type Reading,
  readClientHello,
  readPskIdentity,
  readServerHelloSuite,
} from '../../src/tls/hello.ts'

const be = (value: number, size: number) => Buffer.from(value.toString(16).padStart(size * 2, '0'), 'hex')
const vector = (lengthSize: number, ...parts: Uint8Array[]) => {
  const content = Buffer.concat(parts)
  return Buffer.concat([be(content.length, lengthSize), content])
}
const extension = (type: number, ...content: Uint8Array[]) => Buffer.concat([be(type, 2), vector(2, ...content)])
const message = (type: number, body: Uint8Array) => Buffer.concat([be(type, 1), vector(3, body)])

/** In records of this many octets. */
function records(handshake: Uint8Array, size = 16_384): Buffer {
  const out: Buffer[] = []
  for (let at = 0; at < handshake.length; at += size) {
    out.push(Buffer.concat([Buffer.from([22, 3, 1]), vector(2, handshake.subarray(at, at + size))]))
  }
  return Buffer.concat(out)
}

const sni = (name: string) => extension(0, vector(2, be(0, 1), vector(2, Buffer.from(name))))
const versions = (...codes: number[]) => extension(43, vector(1, ...codes.map((code) => be(code, 2))))
const modes = (...codes: number[]) => extension(45, vector(1, Buffer.from(codes)))
const identity = (text: string) => Buffer.concat([vector(2, Buffer.from(text)), be(0, 4)])
const preSharedKey = (...texts: string[]) =>
  extension(41, vector(2, ...texts.map(identity)), vector(2, ...texts.map(() => vector(1, Buffer.alloc(32)))))

function helloMessage(extensions: readonly Uint8Array[] | undefined, suites = [0x1301, 0x00a8]): Buffer {
  return message(
    1,
    Buffer.concat([
      be(0x0303, 2),
      Buffer.alloc(32, 1),
      vector(1, Buffer.alloc(32, 2)),
      vector(2, ...suites.map((code) => be(code, 2))),
      vector(1, Buffer.from([0])),
      ...(extensions ? [vector(2, ...extensions)] : []),
    ]),
  )
}

const full = helloMessage([
  sni('xcap.example.org'),
  extension(16, Buffer.from('anything')),
  versions(0x0304, 0x0303),
  modes(1, 0),
  preSharedKey('first', 'second'),
])

const complete = <T>(reading: Reading<T>): T => {
  if (reading.outcome !== 'complete') assert.fail(reading.outcome)
  return reading.value
}

const texts = ({ pskIdentities }: ClientHello) => pskIdentities.map((octets) => Buffer.from(octets).toString())

describe('readClientHello', () => {
  test('reads server name, suites, versions, modes and identities', () => {
    const hello = complete(readClientHello(records(full)))
    assert.deepEqual(
      { ...hello, pskIdentities: texts(hello) },
      {
        cipherSuites: [0x1301, 0x00a8],
        serverName: 'xcap.example.org',
        versions: [0x0304, 0x0303],
        pskKeyExchangeModes: [1, 0],
        pskIdentities: ['first', 'second'],
      },
    )
  })

  for (const [name, extensions] of [
    ['without extensions', undefined],
    ['with an empty list of extensions', []],
  ] as const) {
    test(`reads one ${name}, as TLS 1.2 has it`, () => {
      assert.deepEqual(complete(readClientHello(records(helloMessage(extensions)))), {
        cipherSuites: [0x1301, 0x00a8],
        serverName: undefined,
        versions: [0x0303],
        pskKeyExchangeModes: [],
        pskIdentities: [],
      })
    })
  }

  test('reads one in records of any size, and says where its last record ends', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: full.length + 3 }), (size) => {
        const hello = records(full, size)
        const reading = readClientHello(Buffer.concat([hello, Buffer.from('more')]))
        assert.deepEqual(texts(complete(reading)), ['first', 'second'])
        assert.equal(reading.outcome === 'complete' && reading.octets, hello.length)
      }),
    )
  })

  test('asks for more at every length short of the whole, never for more than there will be', () => {
    for (const size of [1, 7, 16_384]) {
      const hello = records(full, size)
      for (let have = 0; have < hello.length; have++) {
        const reading = readClientHello(hello.subarray(0, have))
        if (reading.outcome !== 'more') assert.fail(`${reading.outcome} at ${have}`)
        assert.ok(reading.atLeast > have && reading.atLeast <= hello.length, `${reading.atLeast} at ${have}`)
      }
    }
  })

  test('looks seldom, even at records of one octet', () => {
    const hello = records(helloMessage([extension(21, Buffer.alloc(8000))]), 1)
    let looks = 0
    let have = 0
    for (;;) {
      const reading = readClientHello(hello.subarray(0, have))
      looks++
      if (reading.outcome !== 'more') break
      have = reading.atLeast
    }
    assert.equal(have, hello.length)
    assert.ok(looks < 100, `${looks} looks`)
  })

  for (const [name, octets] of [
    ['says that it is longer than 64 KiB', records(message(1, Buffer.alloc(MAX_HELLO_OCTETS)))],
    ['would come in more than 64 KiB of records', records(message(1, Buffer.alloc(20_000)), 1)],
  ] as const) {
    test(`refuses one that ${name}, before it is all there`, () => {
      assert.equal(readClientHello(octets).outcome, 'too-large')
      assert.equal(readClientHello(octets.subarray(0, 60_000)).outcome, 'too-large')
    })
  }

  const cut = (octets: Buffer) => octets.subarray(0, octets.length - 1)
  for (const [name, octets] of [
    ['plain HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['SSL 2', Buffer.from('802e0100020015000000100100800200800300800400800500800600', 'hex')],
    ['an alert', Buffer.from('15030300020100', 'hex')],
    ['an empty record', Buffer.from('1603010000', 'hex')],
    ['a record over 2^14', Buffer.from('1603014001', 'hex')],
    ['another message', records(message(2, Buffer.alloc(50)))],
    ['an empty hello', records(message(1, Buffer.alloc(0)))],
    ['half a suite', records(message(1, Buffer.concat([Buffer.alloc(34), be(0, 1), vector(2, Buffer.alloc(3))])))],
    [
      'a session id over 32 octets',
      records(message(1, Buffer.concat([Buffer.alloc(34), vector(1, Buffer.alloc(33))]))),
    ],
    ['octets behind the extensions', records(message(1, Buffer.concat([full.subarray(4), be(0, 1)])))],
    ['extensions cut short', records(message(1, cut(full.subarray(4))))],
    ['an extension twice', records(helloMessage([modes(1), modes(1)]))],
    ['a pre_shared_key that is not the last', records(helloMessage([preSharedKey('a'), modes(1)]))],
    ['an empty identity', records(helloMessage([preSharedKey('', 'abcdef')]))],
    ['identities without binders', records(helloMessage([extension(41, vector(2, identity('abcdef')))]))],
    [
      'octets behind the binders',
      records(
        helloMessage([
          Buffer.concat([
            preSharedKey('abcdef').subarray(0, 2),
            vector(2, preSharedKey('abcdef').subarray(4), be(0, 1)),
          ]),
        ]),
      ),
    ],
    [
      'two server names',
      records(
        helloMessage([
          extension(0, vector(2, be(0, 1), vector(2, Buffer.from('a')), be(0, 1), vector(2, Buffer.from('b')))),
        ]),
      ),
    ],
    [
      'a server name of an unknown type',
      records(helloMessage([extension(0, vector(2, be(1, 1), vector(2, Buffer.from('a'))))])),
    ],
    ['an odd list of versions', records(helloMessage([extension(43, vector(1, Buffer.alloc(3)))]))],
  ] as const) {
    test(`does not read ${name}`, () => assert.equal(readClientHello(octets).outcome, 'other'))
  }

  test('never throws, and never reads on what it was not given', () => {
    const damaged = fc
      .array(fc.tuple(fc.nat({ max: full.length + 20 }), fc.nat({ max: 255 })), { maxLength: 6 })
      .map((edits) => {
        const octets = Buffer.from(records(full, 100))
        for (const [at, value] of edits) if (at < octets.length) octets[at] = value
        return octets
      })
    const anything = fc.oneof(fc.uint8Array({ maxLength: 600 }), damaged)
    fc.assert(
      fc.property(anything, fc.nat({ max: 600 }), (octets, length) => {
        for (const read of [readClientHello, readServerHelloSuite, readPskIdentity]) {
          const reading = read(octets.subarray(0, length))
          const given = Math.min(length, octets.length)
          if (reading.outcome === 'more') assert.ok(reading.atLeast > given)
          if (reading.outcome === 'complete') assert.ok(reading.octets <= given)
        }
      }),
      { numRuns: 5000 },
    )
  })
})

describe('what Node itself sends', () => {
  /** The first flight of a client that reaches nobody. */
  async function firstFlight(options: ConnectionOptions): Promise<ClientHello> {
    const sent = new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        sent.emit('sent', chunk)
        done()
      },
    })
    const flight = once(sent, 'sent')
    const client = tls.connect({ ...options, socket: sent, servername: 'xcap.example.org' })
    client.on('error', () => {})
    const [octets] = (await flight) as [Buffer]
    client.destroy()
    return complete(readClientHello(octets))
  }
  const pskCallback = () => ({ psk: Buffer.alloc(32), identity: 'of the key' })

  test('is read in TLS 1.3 with an external key', async () => {
    const hello = await firstFlight({ pskCallback, minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' })
    assert.deepEqual(texts(hello), ['of the key'])
    assert.deepEqual([hello.serverName, hello.versions, hello.pskKeyExchangeModes], ['xcap.example.org', [0x0304], [1]])
    assert.ok(hello.cipherSuites.includes(0x1301))
  })

  test('is read in TLS 1.2', async () => {
    const hello = await firstFlight({ pskCallback, maxVersion: 'TLSv1.2', ciphers: 'PSK-AES128-GCM-SHA256' })
    assert.deepEqual([hello.serverName, hello.versions, texts(hello)], ['xcap.example.org', [0x0303], []])
    assert.ok(hello.cipherSuites.includes(0x00a8))
  })
})

describe('readServerHelloSuite', () => {
  let hello: Buffer
  before(() => {
    const rest = Buffer.concat([be(0x00a8, 2), be(0, 1)])
    hello = message(2, Buffer.concat([be(0x0303, 2), Buffer.alloc(32), vector(1, Buffer.alloc(32)), rest]))
  })

  test('reads the suite, whatever follows', () => {
    assert.equal(complete(readServerHelloSuite(Buffer.concat([records(hello, 20), records(full)]))), 0x00a8)
  })

  test('does not read an alert', () => {
    assert.equal(readServerHelloSuite(Buffer.from('15030300020228', 'hex')).outcome, 'other')
  })
})

describe('readPskIdentity', () => {
  const exchange = (...parts: Uint8Array[]) => records(message(16, Buffer.concat(parts)), 5)

  for (const [name, parameters] of [
    ['PSK', Buffer.alloc(0)],
    ['DHE_PSK', vector(2, Buffer.alloc(256, 9))],
    ['ECDHE_PSK', vector(1, Buffer.alloc(32, 9))],
  ] as const) {
    test(`reads the identity of ${name}, and leaves the Finished behind it alone`, () => {
      const octets = Buffer.concat([exchange(vector(2, Buffer.from('the identity')), parameters), Buffer.from('1403')])
      assert.equal(Buffer.from(complete(readPskIdentity(octets))).toString(), 'the identity')
    })
  }

  test('reads an empty identity and one with NUL as they are', () => {
    assert.deepEqual([...complete(readPskIdentity(exchange(vector(2))))], [])
    assert.deepEqual([...complete(readPskIdentity(exchange(vector(2, Buffer.from('a\0b')))))], [97, 0, 98])
  })

  test('does not read one that ends in the middle of its identity', () => {
    assert.equal(readPskIdentity(exchange(be(9, 2), Buffer.from('short'))).outcome, 'other')
  })
})
