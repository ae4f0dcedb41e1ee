import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { addressTest, parseAddressBlock, plainAddress } from '../../src/tls/addresses.ts'

const blocks = (...texts: string[]) => texts.map((text) => parseAddressBlock(text) ?? assert.fail(text))

describe('addressTest', () => {
  const isListed = addressTest(blocks('192.0.2.7', '10.0.0.0/8', '2001:db8::/32', 'fe80::1'))

  for (const address of [
    '192.0.2.7',
    '::ffff:192.0.2.7',
    '10.255.0.1',
    '::ffff:a01:203',
    '2001:DB8::9',
    'fe80::1%eth0',
  ]) {
    test(`has ${address}`, () => assert.equal(isListed(address), true))
  }

  for (const address of [
    '192.0.2.8',
    '11.0.0.1',
    '::ffff:192.0.2.8',
    '2001:db9::1',
    '::1',
    '',
    'localhost',
    '10.1',
    '10.0.0.1/8',
  ]) {
    test(`does not have ${address || 'an empty one'}`, () => assert.equal(isListed(address), false))
  }

  test('has nobody where nobody is listed', () => assert.equal(addressTest([])('127.0.0.1'), false))
})

describe('parseAddressBlock', () => {
  for (const text of [
    '0.0.0.0/0',
    '::/0',
    '10.0.0.0/33',
    '::1/129',
    '10.0.0.0/08',
    '10.0.0.0/',
    '10.0.0/8',
    '010.0.0.0/8',
  ]) {
    test(`refuses ${text}`, () => assert.equal(parseAddressBlock(text), undefined))
  }
  for (const text of ['', 'localhost', '10.0.0.0/8/8', '10.0.0.0/255.0.0.0', 'fe80::1%eth0', ' 10.0.0.1']) {
    test(`refuses what is no block: ${text}`, () => assert.equal(parseAddressBlock(text), undefined))
  }
})

describe('plainAddress', () => {
  for (const [text, plain] of [
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['0:0:0:0:0:FFFF:c000:0207', '192.0.2.7'],
    ['2001:0DB8:0::01', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['192.0.2.7%eth0', undefined],
    ['fe80::1%a%b', undefined],
    ['[::1]', undefined],
    ['xcap.example.org', undefined],
  ] as const) {
    test(`makes ${plain} of ${text}`, () => assert.equal(plainAddress(text), plain))
  }
})
