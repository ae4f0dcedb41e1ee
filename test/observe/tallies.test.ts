import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Durations, Tally } from '../../src/observe/tallies.ts'
import { handshakeFaultOf } from '../../src/observe/tls-tallies.ts'

describe('a tally', () => {
  test('counts each key, and tells it under a label', () => {
    const tally = new Tally()
    for (const key of ['a', 'b', 'a']) tally.add(key)
    assert.deepEqual(tally.samples('code', { door: 'psk' }), [
      { labels: { door: 'psk', code: 'a' }, value: 2 },
      { labels: { door: 'psk', code: 'b' }, value: 1 },
    ])
  })

  test('has a bound, whatever keys come: the rest is other', () => {
    const tally = new Tally(2)
    for (const key of ['a', 'b', 'c', 'd', 'a']) tally.add(key)
    assert.deepEqual(
      tally.samples('key').map(({ labels, value }) => [labels?.key, value]),
      [
        ['a', 2],
        ['b', 1],
        ['other', 2],
      ],
    )
  })
})

describe('durations', () => {
  const durations = new Durations()
  for (const ms of [0, 1, 1.5, 700, 60_000]) durations.add(ms)
  const samples = durations.samples('x_seconds', { route: '/' })
  const bucket = (le: string) =>
    samples.find(({ labels, metricName }) => metricName === 'x_seconds_bucket' && labels?.le === le)?.value

  test('are told in seconds, each bucket with what is in those before', () => {
    assert.deepEqual(
      ['0.001', '0.0025', '0.5', '1', '10', '+Inf'].map((le) => bucket(le)),
      [2, 3, 3, 4, 4, 5],
    )
  })

  test('have a sum and a count', () => {
    assert.deepEqual(samples.slice(-2), [
      { metricName: 'x_seconds_sum', labels: { route: '/' }, value: 60.7025 },
      { metricName: 'x_seconds_count', labels: { route: '/' }, value: 5 },
    ])
  })
})

describe('a handshake that fails is laid to', () => {
  for (const [code, reason] of [
    ['ECONNRESET', 'closed'],
    ['ERR_TLS_HANDSHAKE_TIMEOUT', 'handshake-late'],
    ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'client-alert'],
    ['ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE', 'client-certificate'],
    ['ERR_SSL_UNSUPPORTED_PROTOCOL', 'version'],
    ['ERR_SSL_NO_SHARED_CIPHER', 'suite'],
    ['ERR_SSL_HTTP_REQUEST', 'not-tls'],
    ['ERR_SSL_WRONG_VERSION_NUMBER', 'not-tls'],
    ['ERR_SSL_DIGEST_CHECK_FAILED', 'other'],
  ] as const) {
    test(`${reason}, where the engine says ${code}`, () => {
      assert.equal(handshakeFaultOf(Object.assign(new Error('x'), { code })), reason)
    })
  }
})
