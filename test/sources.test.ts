import assert from 'node:assert/strict'
import { BlockList } from 'node:net'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { sourceKey, sourcesBut } from '../src/sources.ts'

describe('sourceKey', () => {
  const keys: Readonly<Record<string, string>> = {
    '192.0.2.7': '192.0.2.7',
    '::ffff:192.0.2.7': '192.0.2.7',
    '::FFFF:c000:207': '192.0.2.7',
    '::1': '0:0:0:0::/64',
    '::': '0:0:0:0::/64',
    '2001:db8:1:2:3:4:5:6': '2001:db8:1:2::/64',
    '2001:0DB8:0001:0002::': '2001:db8:1:2::/64',
    '2001:db8::1': '2001:db8:0:0::/64',
    '1:0:0:2:3:4:5:6': '1:0:0:2::/64',
    '1::2:3:4:5:6:7': '1:0:2:3::/64',
    'fe80::1%eth0': 'fe80:0:0:0::/64',
    '64:ff9b::192.0.2.7': '64:ff9b:0:0::/64',
    '1:2:3:4:5:6:192.0.2.7': '1:2:3:4::/64',
    '': '',
    'no address': 'no address',
  }
  for (const [address, key] of Object.entries(keys)) {
    test(`of '${address}' is '${key}'`, () => assert.equal(sourceKey(address), key))
  }

  test('is the same for two IPv6 addresses exactly where their first 64 bits are', () => {
    const group = fc.oneof(fc.constant(0), fc.nat(0xffff)).map((n) => n.toString(16))
    // not below ::/64, where addresses stand for those of IPv4
    const address = fc.tuple(fc.integer({ min: 1, max: 0xffff }), fc.array(group, { minLength: 7, maxLength: 7 }))
    const text = address.map(([first, rest]) => [first.toString(16), ...rest].join(':'))
    fc.assert(
      fc.property(text, text, fc.boolean(), (one, other, near) => {
        const second = near ? [...one.split(':').slice(0, 4), ...other.split(':').slice(4)].join(':') : other
        const network = new BlockList()
        network.addSubnet(one, 64, 'ipv6')
        assert.equal(sourceKey(one) === sourceKey(second), network.check(second, 'ipv6'))
      }),
    )
  })
})

describe('sourcesBut', () => {
  test('counts nobody by an address that many share', () => {
    const sourceOf = sourcesBut(['127.0.0.0/8', '::1', '2001:db8::/32'])
    for (const shared of ['127.0.0.1', '127.255.0.1', '::ffff:127.0.0.1', '::1', '2001:db8:7::1']) {
      assert.equal(sourceOf(shared), undefined)
    }
    assert.equal(sourceOf('128.0.0.1'), '128.0.0.1')
    assert.equal(sourceOf('::2'), '0:0:0:0::/64')
    assert.equal(sourcesBut([])('127.0.0.1'), '127.0.0.1')
  })
})
