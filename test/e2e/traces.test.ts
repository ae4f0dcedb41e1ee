import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { parseTraceparent } from '../../src/core/trace-context.ts'
import { impuOf, LAB_NAF } from '../../src/lab.ts'
import { attributesOf, type Collector, collector, type ExportedSpan } from '../support/collector.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { rawExchange, requestOctets } from '../support/raw-client.ts'
import { scriptedAs } from '../support/scripted-as.ts'

// Spans of a whole flow, at a collector; what comes from whom is believed, and who is told.
const PARENT = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', spanId: '00f067aa0ba902b7' }
const TRACEPARENT = `00-${PARENT.traceId}-${PARENT.spanId}-01`
const OWN = `/resource-lists/users/${impuOf('alice')}/a-telling-name`
const US = ['127.0.0.0/8']

interface Side {
  readonly lab: TestLab
  readonly peer: Collector
  readonly ue: HandUe
  /** Stops the lab, so that nothing waits to be sent. */
  spans(): Promise<readonly ExportedSpan[]>
}

async function tracedLab(
  t: TestContext,
  ap: Readonly<Record<string, unknown>>,
  traces: object,
  more: object = {},
): Promise<Side> {
  const peer = await collector()
  const lab = await testLab({
    recording: true,
    ...more,
    ap,
    traces: { enabled: true, endpoint: peer.endpoint, sampleRatio: 1, ...traces },
  })
  let closed: Promise<void> | undefined
  const close = () => {
    closed ??= lab.close()
    return closed
  }
  t.after(async () => {
    await close()
    await peer.close()
  })
  const spans = async () => {
    await close()
    return peer.spans()
  }
  return { lab, peer, ue: await handUe(lab), spans }
}

/** Values of a header as an application server got them. */
const valuesOf = (rawHeaders: readonly string[] = [], name: string): string[] =>
  rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name)
const lastTraceparent = ({ seen }: TestLab) => valuesOf(seen.at(-1)?.rawHeaders, 'traceparent')

const forwarded = (spans: readonly ExportedSpan[]) =>
  spans.filter((span) => span.kind === 2 && attributesOf(span)['gba.step'] === 'forward')
const only = <Item>(items: readonly Item[]): Item => {
  const [item, ...more] = items
  assert.ok(item !== undefined && more.length === 0, `${items.length} where one was to be`)
  return item
}

for (const httpFront of ['strict', 'fastify']) {
  describe(`with httpFront: ${httpFront}, traces`, () => {
    test('go on from a trusted caller to the application server, with a span for each part', async (t) => {
      const { lab, ue, spans } = await tracedLab(t, { httpFront }, { trustedSources: US, toAppServers: true })
      assert.equal((await ue.request('GET', OWN, { headers: [`Traceparent: ${TRACEPARENT}`] })).status, 200)
      const told = parseTraceparent(only(lastTraceparent(lab)))
      const all = await spans()
      const server = only(forwarded(all))
      assert.equal(server.traceId, PARENT.traceId)
      assert.equal(server.parentSpanId, PARENT.spanId)
      assert.equal(server.name, 'GET /')
      const { 'gba.request_id': requestId, ...attributes } = attributesOf(server)
      assert.deepEqual(attributes, {
        'http.request.method': 'GET',
        'http.response.status_code': '200',
        'http.route': '/',
        'gba.naf': LAB_NAF,
        'gba.door': 'digest',
        'gba.step': 'forward',
        'gba.app_server': 'lab',
      })
      assert.deepEqual(valuesOf(lab.seen[0]?.rawHeaders, 'x-request-id'), [requestId])
      const children = all.filter(({ parentSpanId }) => parentSpanId === server.spanId)
      assert.deepEqual(children.map(({ name, kind, traceId }) => `${name} ${kind} ${traceId}`).sort(), [
        `GET lab 3 ${PARENT.traceId}`,
        `zn fetch 3 ${PARENT.traceId}`,
      ])
      const upstream = children.find(({ name }) => name === 'GET lab')
      assert.deepEqual(told, { traceId: PARENT.traceId, spanId: upstream?.spanId, sampled: true })
      for (const { startTimeUnixNano, endTimeUnixNano } of children) {
        assert.ok(BigInt(startTimeUnixNano) >= BigInt(server.startTimeUnixNano))
        assert.ok(BigInt(endTimeUnixNano) <= BigInt(server.endTimeUnixNano))
      }
      const ids = all.map(({ spanId }) => spanId)
      assert.equal(new Set(ids).size, ids.length)
      assert.match(
        lab.logged(),
        new RegExp(
          `"traceId":"${PARENT.traceId}".*"requestId":"${requestId}"|"requestId":"${requestId}".*"traceId":"${PARENT.traceId}"`,
        ),
      )
    })

    test('of anybody else are neither believed nor passed on', async (t) => {
      const options = { trustedSources: ['192.0.2.1'], toAppServers: true }
      const { lab, ue, spans } = await tracedLab(t, { httpFront }, options)
      const headers = [`traceparent: ${TRACEPARENT}`, 'tracestate: a=b', 'baggage: c=d']
      assert.equal((await ue.request('GET', OWN, { headers })).status, 200)
      const told = parseTraceparent(only(lastTraceparent(lab)))
      for (const name of ['tracestate', 'baggage']) assert.deepEqual(valuesOf(lab.seen[0]?.rawHeaders, name), [])
      const server = only(forwarded(await spans()))
      assert.notEqual(server.traceId, PARENT.traceId)
      assert.equal(server.parentSpanId, undefined)
      assert.equal(told?.traceId, server.traceId)
    })

    test('begin anew where a trusted caller sends none that can be read, or two', async (t) => {
      const { ue, spans } = await tracedLab(t, { httpFront }, { trustedSources: US })
      const lines = [TRACEPARENT.toUpperCase(), `00-${'0'.repeat(32)}-${PARENT.spanId}-01`, 'x']
      for (const line of lines) await ue.request('GET', OWN, { headers: [`traceparent: ${line}`] })
      await ue.request('GET', OWN, { headers: [`traceparent: ${TRACEPARENT}`, `traceparent: ${TRACEPARENT}`] })
      const servers = forwarded(await spans())
      assert.equal(servers.length, 4)
      for (const { traceId, parentSpanId } of servers) {
        assert.notEqual(traceId.toLowerCase(), PARENT.traceId)
        assert.equal(parentSpanId, undefined)
      }
    })

    test('are made of nobody whom a trusted caller leaves out, and the application server hears of that', async (t) => {
      const { lab, ue, spans } = await tracedLab(t, { httpFront }, { trustedSources: US, toAppServers: true })
      await ue.request('GET', OWN, { headers: [`traceparent: ${TRACEPARENT.slice(0, -2)}00`] })
      const told = parseTraceparent(only(lastTraceparent(lab)))
      assert.deepEqual([told?.traceId, told?.sampled], [PARENT.traceId, false])
      assert.deepEqual(forwarded(await spans()), [])
    })

    test('are made of the share that is wanted: none at 0, and of whom a trusted caller wants all the same', async (t) => {
      const { ue, spans } = await tracedLab(t, { httpFront }, { trustedSources: US, sampleRatio: 0 })
      for (let i = 0; i < 5; i++) await ue.request('GET', OWN)
      await ue.request('GET', OWN, { headers: [`traceparent: ${TRACEPARENT}`] })
      const all = await spans()
      assert.deepEqual([...new Set(all.map(({ traceId }) => traceId))], [PARENT.traceId])
    })

    for (const [trust, traceparent, toAppServers, isTold] of [
      ['internal', 'default', false, false],
      ['internal', 'default', true, true],
      ['internal', 'send', false, true],
      ['internal', 'withhold', true, false],
      ['external', 'default', true, false],
      ['external', 'send', false, true],
    ] as const) {
      const how = `${trust} server with traceparent: ${traceparent} under toAppServers: ${toAppServers}`
      test(`${isTold ? 'are' : 'are not'} told to an ${how}`, async (t) => {
        const as = await scriptedAs((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
        t.after(as.close)
        const appServers = [{ name: 'scripted', url: as.url, trust, traceparent }]
        const ap = { httpFront, appServers, routes: [{ appServer: 'scripted' }] }
        const { ue } = await tracedLab(t, ap, { trustedSources: US, toAppServers }, { recording: false, as: null })
        const path = trust === 'external' ? '/resource-lists/global/index' : OWN
        assert.equal((await ue.request('GET', path, { headers: [`traceparent: ${TRACEPARENT}`] })).status, 200)
        const lines = as.arrived[0]?.head.match(/^traceparent: .*$/gim) ?? []
        assert.equal(lines.length, isTold ? 1 : 0)
        if (isTold) assert.match(lines[0] ?? '', new RegExp(`00-${PARENT.traceId}-(?!${PARENT.spanId})[0-9a-f]{16}-01`))
      })
    }

    test('tell of a refusal, and of an answer that is refused', async (t) => {
      const answer = () => ({ status: 401 })
      const { ue, spans } = await tracedLab(t, { httpFront }, {}, { answer })
      await ue.request('GET', `/resource-lists/users/${impuOf('bob')}/index`)
      assert.equal((await ue.request('GET', OWN)).status, 403)
      const all = await spans()
      const refused = only(all.filter((span) => attributesOf(span)['gba.fault_code'] === 'UT_TREE_NOT_OWNED'))
      assert.equal(attributesOf(refused)['http.response.status_code'], '403')
      assert.equal(refused.status.code, undefined)
      const failed = only(forwarded(all))
      const { 'http.response.status_code': status, 'gba.fault_code': code } = attributesOf(failed)
      assert.deepEqual([status, code], ['403', 'UT_AS_WANTS_CREDENTIALS'], 'the last word counts')
      const upstream = only(
        all.filter(({ parentSpanId, name }) => parentSpanId === failed.spanId && name === 'GET lab'),
      )
      assert.equal(attributesOf(upstream)['http.response.status_code'], '401')
    })

    test('tell of an application server that does not answer', async (t) => {
      const as = await scriptedAs((socket) => socket.destroy())
      t.after(as.close)
      const ap = { httpFront, appServers: [{ name: 'gone', url: as.url }], routes: [{ appServer: 'gone' }] }
      const { ue, spans } = await tracedLab(t, ap, {}, { recording: false, as: null })
      assert.equal((await ue.request('PUT', OWN, { body: 'x' })).status, 502)
      const upstream = only((await spans()).filter(({ name }) => name === 'PUT gone'))
      assert.deepEqual([attributesOf(upstream)['error.type'], upstream.status.code], ['UT_AS_UNREACHABLE', 2])
    })

    test('hold no identity, no key, no nonce and no path', async (t) => {
      const { lab, peer, ue, spans } = await tracedLab(t, { httpFront }, { trustedSources: US, toAppServers: true })
      const nonce = await ue.freshNonce()
      const yaml = await readFile(join(lab.directory, 'subscribers.yaml'), 'utf8')
      await ue.request('GET', OWN)
      await ue.request('PUT', OWN, { body: 'telling-body', headers: ['Content-Type: text/telling'] })
      await ue.request('GET', OWN, { password: 'wrong' })
      await ue.request('GET', OWN, { nonce, nc: 1 })
      await ue.request('GET', OWN, { nonce, nc: 1 })
      await ue.request('GET', OWN, { username: 'telling-user@bsf.example.com' })
      await ue.request('GET', `/resource-lists/users/${impuOf('bob')}/index`)
      await ue.request('GET', `/telling-usage/users/${impuOf('alice')}/index`)
      await ue.request('GET', OWN, { headers: [`X-3GPP-Intended-Identity: "${impuOf('bob')}"`] })
      await ue.send(requestOctets(`TELLING ${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`]))
      await ue.send(requestOctets(`GET ${OWN} HTTP/1.1`, ['Host: telling.example.com']))
      const all = await spans()
      assert.ok(all.length > 12)
      const text = peer.bodies.join('')
      const secrets = [...yaml.matchAll(/(?:k|opc): '([0-9a-f]{32})'/g)].map(([, key = '']) => key)
      const imsis = ['001010000000001', '001010000000002']
      const [rand = ''] = ue.btid.split('@')
      const words = ['telling', 'alice', 'bob', '+1555', 'users', 'index', 'resource-lists', nonce, rand]
      for (const word of [...words, ...imsis, ...secrets, ue.password]) {
        assert.ok(!text.toLowerCase().includes(word.toLowerCase()), `${word} is told`)
      }
    })

    test('are lost where the collector is away, and nothing else is', async (t) => {
      const gone = await collector()
      await gone.close()
      const { lab, ue, spans } = await tracedLab(t, { httpFront }, { endpoint: gone.endpoint })
      for (let i = 0; i < 300; i++) assert.equal((await ue.request('GET', OWN)).status, 200)
      await spans()
      const spansCounted = (await lab.app.metrics()).find(({ name }) => name === 'gba_proxy_trace_spans_total')
      const counted = Object.fromEntries(spansCounted?.values.map(({ labels, value }) => [labels.outcome, value]) ?? [])
      assert.equal(counted.exported, 0)
      assert.ok((counted.dropped ?? 0) >= 600)
      assert.match(lab.logged(), /"traces\.export-failed"/)
    })

    test('are off unless they are wanted: no span, no connection, and no header', async (t) => {
      const options = { enabled: false, trustedSources: US, toAppServers: true }
      const { lab, peer, ue, spans } = await tracedLab(t, { httpFront }, options)
      assert.equal((await ue.request('GET', OWN, { headers: [`traceparent: ${TRACEPARENT}`] })).status, 200)
      assert.deepEqual(lastTraceparent(lab), [])
      assert.deepEqual(await spans(), [])
      assert.equal(peer.connections(), 0)
      assert.ok(lab.decisions.every(({ record }) => record.trace === undefined))
      assert.doesNotMatch(lab.logged(), /traceId/)
    })
  })
}

describe('behind a front that ends TLS, traces', () => {
  const front = { port: 0, addresses: US, tells: 'headers', headers: { serverName: 'X-Name', suite: 'X-Suite' } }
  for (const [name, trustedSources, isBelieved] of [
    ['go on where the front is trusted', US, true],
    ['go on where the client is trusted', ['192.0.2.9'], true],
    ['begin anew where neither is', ['192.0.2.10'], false],
  ] as const) {
    test(name, async (t) => {
      const { lab, ue, spans } = await tracedLab(t, { front }, { trustedSources })
      const headers = [
        `X-Name: ${LAB_NAF}`,
        'X-Suite: TLS_AES_128_GCM_SHA256',
        'X-Forwarded-For: 192.0.2.9',
        `traceparent: ${TRACEPARENT}`,
      ]
      const octets = await ue.signed('GET', '/resource-lists/users/nobody/x', { headers })
      await rawExchange({ port: lab.app.addresses.front?.port ?? 0 }, octets)
      const servers = (await spans()).filter((span) => span.traceId === PARENT.traceId && span.kind === 2)
      assert.equal(servers.length, isBelieved ? 1 : 0)
    })
  }
})

describe('bootstrapping', () => {
  test('has spans of its own, which begin their traces', async (t) => {
    const { spans } = await tracedLab(t, {}, {})
    const found = (await spans()).filter(({ name }) => name.startsWith('ub.'))
    assert.deepEqual(found.map(({ name }) => name).sort(), ['ub.bootstrapped', 'ub.challenged'])
    assert.ok(found.every(({ parentSpanId, kind }) => parentSpanId === undefined && kind === 2))
  })
})
