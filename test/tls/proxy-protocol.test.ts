import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { MAX_PROXY_HEADER_OCTETS, type ProxyHeader, readProxyHeader } from '../../src/tls/proxy-protocol.ts'
import { be, crc32c, IPV4_ENDS, proxyHeader, sslTlv, tcp4, tlv, withChecksum } from '../support/proxy-header.ts'

const version = tlv(0x21, 'TLSv1.2')
const cipher = tlv(0x23, 'ECDHE-RSA-AES128-GCM-SHA256')
const full = withChecksum((checksum) =>
  tcp4(
    tlv(0x01, 'http/1.1'),
    tlv(0x02, 'xcap.example.org'),
    sslTlv(7, 0, version, tlv(0x22, 'A client'), cipher, tlv(0x24, 'RSA-SHA256'), tlv(0x25, 'RSA2048')),
    checksum,
  ),
)

function complete(octets: Uint8Array): ProxyHeader {
  const reading = readProxyHeader(octets)
  if (reading.outcome !== 'complete') assert.fail(reading.outcome)
  return reading.value
}

const nothing = { command: 'proxy', source: undefined, alpn: undefined, authority: undefined, ssl: undefined } as const

describe('readProxyHeader', () => {
  test('reads addresses, names and what is known of TLS', () => {
    assert.deepEqual(complete(full), {
      command: 'proxy',
      source: { address: '192.0.2.7', port: 51_234 },
      alpn: 'http/1.1',
      authority: 'xcap.example.org',
      ssl: {
        isTls: true,
        certificate: 'connection',
        verify: 0,
        version: 'TLSv1.2',
        commonName: 'A client',
        cipher: 'ECDHE-RSA-AES128-GCM-SHA256',
        signatureAlgorithm: 'RSA-SHA256',
        keyAlgorithm: 'RSA2048',
      },
    })
  })

  test('says where it ends, and does not look at what is behind it', () => {
    const reading = readProxyHeader(Buffer.concat([full, full]))
    assert.equal(reading.outcome === 'complete' && reading.octets, full.length)
  })

  test('wants more of every header that is cut short, and never less than would do', () => {
    for (let length = 0; length < full.length; length++) {
      const reading = readProxyHeader(full.subarray(0, length))
      assert.deepEqual(reading, { outcome: 'more', atLeast: length < 16 ? 16 : full.length })
    }
  })

  for (const [name, address, spelled] of [
    ['IPv6 in its shortest spelling', '20010db8000000000001000000000001', '2001:db8::1:0:0:1'],
    ['IPv4 in IPv6 form as IPv4', '00000000000000000000ffffc0000207', '192.0.2.7'],
  ] as const) {
    test(`tells ${name}`, () => {
      const ends = Buffer.concat([Buffer.from(address, 'hex'), Buffer.alloc(16), be(65_535, 2), be(443, 2)])
      assert.deepEqual(complete(proxyHeader(0x21, 0x21, ends)).source, { address: spelled, port: 65_535 })
    })
  }

  for (const [name, family, address] of [
    ['UNSPEC', 0x00, Buffer.alloc(0)],
    ['UDP over IPv4', 0x12, IPV4_ENDS],
    ['UDP over IPv6', 0x22, Buffer.alloc(36)],
    ['a UNIX stream', 0x31, Buffer.alloc(216, 'a')],
    ['UNIX datagrams', 0x32, Buffer.alloc(216, 'a')],
  ] as const) {
    test(`has no address for ${name}, and reads the rest`, () => {
      const header = proxyHeader(0x21, family, address, tlv(0x02, 'xcap.example.org'))
      assert.deepEqual(complete(header), { ...nothing, authority: 'xcap.example.org' })
    })
  }

  for (const [name, rest] of [
    ['nothing', Buffer.alloc(0)],
    ['addresses and names', full.subarray(16)],
    ['what is no TLV', Buffer.alloc(40, 255)],
  ] as const) {
    test(`takes nothing from a front that speaks for itself and sends ${name}`, () => {
      assert.deepEqual(complete(proxyHeader(0x20, 0x11, rest)), { ...nothing, command: 'local' })
    })
  }

  test('passes over padding, even twice, and over types that it does not know', () => {
    const padding = tlv(0x04, 'é\0')
    const header = tcp4(padding, tlv(0x05, 'unique'), padding, tlv(0xe0), tlv(0xe0), tlv(0x02, 'a'), tlv(0x30, '\xff'))
    assert.equal(complete(header).authority, 'a')
  })

  test('passes over what it does not know of TLS', () => {
    assert.equal(complete(tcp4(sslTlv(1, 1, tlv(0x26, '\0'), version, tlv(0x26)))).ssl?.version, 'TLSv1.2')
  })

  test('knows TLS, no TLS, and the kinds of certificate apart', () => {
    const told = (client: number, verify: number) => {
      const ssl = complete(tcp4(sslTlv(client, verify, version))).ssl
      return ssl && [ssl.isTls, ssl.certificate, ssl.verify]
    }
    assert.deepEqual(told(0, 1), [false, 'none', 1])
    assert.deepEqual(told(1, 0xffffffff), [true, 'none', 0xffffffff])
    assert.deepEqual(told(3, 0), [true, 'connection', 0])
    assert.deepEqual(told(5, 10), [true, 'session', 10])
  })

  test('this test computes the checksum that the standard wants', () => {
    assert.equal(crc32c(Buffer.from('123456789')), 0xe3069283)
  })

  for (const [name, octets] of [
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n')],
    ['TLS', Buffer.from('16030100', 'hex')],
    ['version 1', Buffer.from('PROXY TCP4 192.0.2.7 192.0.2.1 51234 443\r\n')],
    ['another version in the same form', proxyHeader(0x31, 0x11, IPV4_ENDS)],
    ['version 2 under a version of 1', proxyHeader(0x11, 0x11, IPV4_ENDS)],
    ['an unknown command', proxyHeader(0x22, 0x11, IPV4_ENDS)],
    ['an unknown address family', proxyHeader(0x21, 0x41, IPV4_ENDS)],
    ['an unknown transport', proxyHeader(0x21, 0x13, IPV4_ENDS)],
    ['an IPv4 address cut short', proxyHeader(0x21, 0x11, IPV4_ENDS.subarray(1))],
    ['an IPv6 address cut short', proxyHeader(0x21, 0x21, Buffer.alloc(35))],
    ['a UNIX address cut short', proxyHeader(0x21, 0x31, Buffer.alloc(215))],
    ['a TLV of two octets', tcp4(Buffer.from([2, 0]))],
    ['a TLV that leads out of the header', tcp4(tlv(0x02, 'abc').subarray(0, 5))],
    ['an unknown TLV that leads out of the header', tcp4(tlv(0xee, 'abc').subarray(0, 5))],
    ['a name twice', tcp4(tlv(0x02, 'a'), tlv(0x02, 'a'))],
    ['a protocol twice', tcp4(tlv(0x01, 'h2'), tlv(0x01, 'h2'))],
    ['TLS twice', tcp4(sslTlv(1, 1, version), sslTlv(1, 1, version))],
    ['a suite twice', tcp4(sslTlv(1, 1, version, cipher, cipher))],
    ['a checksum twice', withChecksum((checksum) => tcp4(checksum, checksum))],
    ['an empty name', tcp4(tlv(0x02))],
    ['a name with NUL', tcp4(tlv(0x02, 'a\0'))],
    ['a name with a line feed', tcp4(tlv(0x02, 'a\n'))],
    ['a name beyond ASCII', tcp4(tlv(0x02, 'é'))],
    ['a subject beyond ASCII', tcp4(sslTlv(1, 1, version, tlv(0x22, 'é')))],
    ['TLS cut short', tcp4(tlv(0x20, be(1, 1), be(0, 3)))],
    ['TLS without anything', tcp4(tlv(0x20))],
    ['TLS without a version', tcp4(sslTlv(1, 1, cipher))],
    [
      'a suite that leads out of its TLV',
      tcp4(sslTlv(1, 1, version, cipher.subarray(0, 9)), tlv(0xee, 'a'.repeat(99))),
    ],
    ['a wrong checksum', tcp4(tlv(0x03, be(1, 4)))],
    ['a checksum of three octets', tcp4(tlv(0x03, be(1, 3)))],
  ] as const) {
    test(`does not read ${name}`, () => assert.equal(readProxyHeader(octets).outcome, 'other'))
  }

  test('sees at the first octet that it is something else', () => {
    assert.equal(readProxyHeader(Buffer.from('P')).outcome, 'other')
    assert.equal(readProxyHeader(Buffer.concat([full.subarray(0, 12), be(0x11, 1)])).outcome, 'other')
  })

  test('reads up to 4 KiB, and does not wait for more', () => {
    const padded = (octets: number) => tcp4(tlv(0x04, Buffer.alloc(octets - 16 - 12 - 3)))
    assert.equal(padded(MAX_PROXY_HEADER_OCTETS).length, 4096)
    assert.equal(readProxyHeader(padded(4096)).outcome, 'complete')
    assert.equal(readProxyHeader(padded(4097).subarray(0, 16)).outcome, 'too-large')
  })

  test('a checksum finds every wrong octet of what it covers', () => {
    const wrong = fc.tuple(fc.nat({ max: full.length - 1 }), fc.integer({ min: 1, max: 255 }))
    fc.assert(
      fc.property(wrong, ([at, difference]) => {
        const octets = Buffer.from(full)
        octets[at] = (octets[at] ?? 0) ^ difference
        const reading = readProxyHeader(octets)
        if (reading.outcome !== 'complete') return
        // What is left: the front's own connection, a checksum that is called something else, or a header that says it
        // ends before its checksum.
        const endsEarlier = at === 15 && reading.octets <= full.length - 7
        assert.ok(reading.value.command === 'local' || at === full.length - 7 || endsEarlier)
      }),
      { numRuns: 3000 },
    )
  })

  test('never throws, reads no further than it was given, and tells printable texts only', () => {
    const plain = tcp4(tlv(0x01, 'h2'), tlv(0x02, 'xcap.example.org'), sslTlv(1, 1, version, cipher))
    const edits = fc.array(fc.tuple(fc.nat({ max: plain.length }), fc.nat({ max: 255 })), { maxLength: 6 })
    const damaged = edits.map((all) => {
      const octets = Buffer.from(plain)
      for (const [at, value] of all) if (at < octets.length) octets[at] = value
      return octets
    })
    const tlvs = fc.array(
      fc.tuple(fc.constantFrom(1, 2, 4, 0x20, 0x21, 0x23, 0xe0), fc.uint8Array({ maxLength: 30 })),
      { maxLength: 5 },
    )
    const made = tlvs.map((all) => tcp4(...all.map(([type, value]) => tlv(type, value))))
    let completed = 0
    fc.assert(
      fc.property(
        fc.oneof(fc.uint8Array({ maxLength: 300 }), damaged, made),
        fc.nat({ max: 300 }),
        (octets, length) => {
          const given = octets.subarray(0, length)
          const reading = readProxyHeader(given)
          if (reading.outcome === 'more') assert.ok(reading.atLeast > given.length)
          if (reading.outcome !== 'complete') return
          completed++
          assert.ok(reading.octets <= given.length)
          const { alpn, authority, ssl } = reading.value
          for (const text of [alpn, authority, ...Object.values(ssl ?? {})]) {
            if (typeof text === 'string') assert.match(text, /^[\x20-\x7e]+$/)
          }
        },
      ),
      { numRuns: 5000 },
    )
    assert.ok(completed > 100)
  })
})
