import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { parseFqdn } from '../../src/core/identity.ts'
import { spanExport } from '../../src/observe/span-export.ts'
import { SPAN_KINDS, type Span } from '../../src/observe/spans.ts'
import { makeLabPki } from '../../src/tls/issue.ts'
import { attributesOf, collector } from '../support/collector.ts'

const span = (name = 'a'): Span => ({
  traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
  spanId: '00f067aa0ba902b7',
  parentSpanId: undefined,
  kind: SPAN_KINDS.server,
  name,
  startedAt: 1_700_000_000_123,
  endedAt: 1_700_000_000_120,
  attributes: { text: 'x', number: 7, absent: undefined },
  isError: true,
})

async function exporting(t: TestContext, answer?: Parameters<typeof collector>[0]) {
  const peer = await collector(answer)
  t.after(peer.close)
  const failures: unknown[] = []
  const spans = spanExport({
    endpoint: peer.endpoint,
    tls: {},
    resource: { 'service.name': 'test' },
    scope: { name: 'gba-proxy', version: '1' },
    onFailure: (error) => failures.push(error),
  })
  return { peer, spans, failures }
}

describe('spans', () => {
  test('are sent as OTLP has them in JSON', async (t) => {
    const { peer, spans } = await exporting(t)
    spans.add(span())
    await spans.close()
    const [arrived] = peer.spans()
    assert.ok(arrived)
    assert.equal(arrived.kind, 2)
    assert.equal(arrived.startTimeUnixNano, '1700000000123000000')
    assert.equal(arrived.endTimeUnixNano, arrived.startTimeUnixNano, 'none ends before it starts')
    assert.deepEqual(attributesOf(arrived), { text: 'x', number: '7' })
    assert.deepEqual(arrived.status, { code: 2 })
    assert.ok(!('parentSpanId' in arrived))
    assert.match(peer.bodies[0] ?? '', /^{"resourceSpans":\[{"resource":{"attributes":\[{"key":"service.name"/)
  })

  test('are sent in batches, all of those that wait when it ends', async (t) => {
    const { peer, spans } = await exporting(t)
    for (let i = 0; i < 1_500; i++) spans.add(span(String(i)))
    await spans.close()
    assert.equal(peer.spans().length, 1_500)
    assert.equal(peer.bodies.length, 3)
    assert.equal(peer.connections(), 1)
    assert.deepEqual(spans.counts(), { exported: 1_500, dropped: 0 })
  })

  test('that are too many are dropped and counted', async (t) => {
    const { peer, spans } = await exporting(t)
    for (let i = 0; i < 6_000; i++) spans.add(span())
    await spans.close()
    const { exported, dropped } = spans.counts()
    assert.equal(exported, peer.spans().length)
    assert.equal(exported + dropped, 6_000)
    assert.ok(dropped > 1_000)
  })

  test('are dropped where there is no time left to send them', async (t) => {
    const { peer, spans } = await exporting(t)
    for (let i = 0; i < 5; i++) spans.add(span())
    await spans.close(0)
    assert.deepEqual(spans.counts(), { exported: 0, dropped: 5 })
    assert.equal(peer.connections(), 0)
  })

  test('that come after the end are dropped', async (t) => {
    const { peer, spans } = await exporting(t)
    await spans.close()
    spans.add(span())
    assert.deepEqual(spans.counts(), { exported: 0, dropped: 1 })
    assert.equal(peer.connections(), 0)
  })

  test('that a collector takes in part are counted as it says', async (t) => {
    const { spans } = await exporting(t, () => [200, '{"partialSuccess":{"rejectedSpans":"2"}}'])
    for (let i = 0; i < 5; i++) spans.add(span())
    await spans.close()
    assert.deepEqual(spans.counts(), { exported: 3, dropped: 2 })
  })

  for (const [name, answer] of [
    ['refuses', () => [503, 'no'] as const],
    ['sends elsewhere', () => [302, ''] as const],
    ['never answers', () => undefined],
  ] as const) {
    test(`that a collector ${name} are dropped, and it is told once`, async (t) => {
      const { spans, failures } = await exporting(t, answer)
      for (let i = 0; i < 600; i++) spans.add(span())
      await spans.close()
      assert.deepEqual(spans.counts().exported, 0)
      assert.equal(spans.counts().dropped, 600)
      assert.equal(failures.length, 1)
    })
  }

  test('go over TLS to whom the CA vouches for, and to nobody else', async (t) => {
    const fqdn = parseFqdn('collector.example.org')
    assert.ok(fqdn)
    const names = { bsf: [fqdn], naf: [fqdn], znClients: [] }
    const { ca, bsf } = await makeLabPki({ names, now: Date.now(), validDays: 1 })
    const peer = await collector(() => [200, '{}'], { cert: bsf.certificate, key: bsf.key })
    t.after(peer.close)
    for (const [tls, exported] of [
      [{ ca: ca.certificate }, 1],
      [{}, 0],
    ] as const) {
      const scope = { name: 'gba-proxy', version: '1' }
      const spans = spanExport({ endpoint: peer.endpoint, tls, resource: {}, scope, onFailure: () => {} })
      spans.add(span())
      await spans.close()
      assert.deepEqual(spans.counts(), { exported, dropped: 1 - exported })
    }
    assert.equal(peer.bodies.length, 1)
  })

  test('can be replaced until they are sent', async (t) => {
    const { peer, spans } = await exporting(t)
    const first = span('first')
    spans.add(first)
    assert.ok(spans.replace(first, span('second')))
    await spans.close()
    assert.deepEqual(
      peer.spans().map(({ name }) => name),
      ['second'],
    )
    assert.ok(!spans.replace(first, span('third')))
  })
})
