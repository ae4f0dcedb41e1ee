import assert from 'node:assert/strict'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer as createHttps, type Server } from 'node:https'
import { type AddressInfo, createServer as createNet } from 'node:net'
import { after, afterEach, describe, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { toHex } from '../../src/core/bytes.ts'
import type { Fqdn } from '../../src/core/identity.ts'
import { type FaultCode, GbaError } from '../../src/errors.ts'
import { type Issued, type LabPki, makeLabPki } from '../../src/tls/issue.ts'
import { type HttpKeySourceOptions, httpKeySource } from '../../src/zn/http.ts'
import { NBSP_GBA_PATH, parseBir } from '../../src/zn/nbsp-gba.ts'
import type { KeySource } from '../../src/zn/port.ts'
import { vectors } from '../support/vectors.ts'

const { nbspGba } = vectors<{ nbspGba: Record<'request' | 'response', Record<string, unknown>> }>('golden-flow.json')
const NOW = Date.parse('2026-11-21T12:00:00Z')
const AP = 'ap.example.org' as Fqdn
const names = { bsf: ['bsf.example.org' as Fqdn], naf: ['xcap.example.org' as Fqdn], znClients: [{ name: AP }] }
const [pki, stranger] = await Promise.all(
  [1, 2].map(() => makeLabPki({ names, now: Date.now(), validDays: 1 })) as [Promise<LabPki>, Promise<LabPki>],
)
const bir = parseBir(nbspGba.request)
assert.ok(bir)

const tlsOf = ({ certificate, key }: Issued, ca = pki.ca.certificate) => ({ cert: certificate, key, ca })
const client = tlsOf(pki.znClients[AP] ?? pki.ap)

/** Every BSF and key source of one test, closed when it ends. */
const closing: (() => Promise<unknown> | unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void

const serving = new Set<Server>()
after(() => assert.equal(serving.size, 0))

async function bsf(
  answer: Answer,
  tls: ReturnType<typeof tlsOf> = tlsOf(pki.bsf),
  host = '127.0.0.1',
): Promise<string> {
  const server = createHttps({ ...tls, requestCert: true, rejectUnauthorized: true }, (request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (part) => {
      body += part
    })
    request.on('end', () => answer(request, response, body))
  })
  server.on('tlsClientError', () => {})
  serving.add(server)
  await new Promise<void>((listening) => server.listen(0, host, listening))
  closing.push(() => {
    serving.delete(server)
    server.closeAllConnections()
    return new Promise((closed) => server.close(closed))
  })
  return `https://${host}:${(server.address() as AddressInfo).port}`
}

function source(apiRoot: string, options: Partial<HttpKeySourceOptions> = {}): KeySource {
  const made = httpKeySource({
    apiRoot,
    tls: client,
    timeoutMs: 5_000,
    assumedLifetimeS: 60,
    now: () => NOW,
    ...options,
  })
  closing.push(() => made.close?.())
  return made
}

const answering = (status: number, body: string, headers: Record<string, string> = {}): Answer => {
  return (_request, response) => void response.writeHead(status, headers).end(body)
}
const GOLDEN = JSON.stringify(nbspGba.response)

const refuses = (code: FaultCode, doing: Promise<unknown>) =>
  assert.rejects(doing, (error) => error instanceof GbaError && error.code === code)

describe('a BSF over HTTP', () => {
  test('gets the golden request, with our certificate, and its answer is taken', async () => {
    const seen: unknown[] = []
    const root = await bsf((request, response, body) => {
      const { CN } = (request.socket as TLSSocket).getPeerCertificate().subject
      seen.push([request.method, request.url, request.headers['content-type'], JSON.parse(body), String(CN)])
      response.end(GOLDEN)
    })
    const { ksNaf, expiresAt, impi } = await source(root).fetch(bir)
    assert.equal(toHex(ksNaf.expose(32)), nbspGba.response.meKeyMaterial)
    assert.deepEqual([expiresAt, impi], [Date.parse('2026-11-21T22:00:00Z'), nbspGba.response.impi])
    assert.deepEqual(seen, [['POST', NBSP_GBA_PATH, 'application/json', nbspGba.request, `gba-proxy lab client ${AP}`]])
  })

  test('is found below a path, with or without a slash at its end', async () => {
    const seen: unknown[] = []
    const root = await bsf((request, response) => {
      seen.push(request.url)
      response.end(GOLDEN)
    })
    await source(`${root}/5gc/`).fetch(bir)
    await source(`${root}/5gc`).fetch(bir)
    assert.deepEqual(seen, [`/5gc${NBSP_GBA_PATH}`, `/5gc${NBSP_GBA_PATH}`])
  })

  test('may leave out the expiry: the key then lives as long as we assume', async () => {
    const { meKeyMaterial } = nbspGba.response
    const root = await bsf(answering(200, JSON.stringify({ meKeyMaterial })))
    assert.equal((await source(root).fetch(bir)).expiresAt, NOW + 60_000)
  })

  for (const [status, code] of [
    [404, 'ZN_BTID_UNKNOWN'],
    [403, 'ZN_NOT_AUTHORISED'],
    [401, 'ZN_NOT_AUTHORISED'],
    [429, 'ZN_BSF_UNREACHABLE'],
    [500, 'ZN_BSF_UNREACHABLE'],
    [501, 'ZN_BSF_UNREACHABLE'],
    [503, 'ZN_BSF_UNREACHABLE'],
    [504, 'ZN_BSF_UNREACHABLE'],
    [400, 'ZN_ANSWER_MALFORMED'],
    [411, 'ZN_ANSWER_MALFORMED'],
    [413, 'ZN_ANSWER_MALFORMED'],
    [415, 'ZN_ANSWER_MALFORMED'],
    [201, 'ZN_ANSWER_MALFORMED'],
    [204, 'ZN_ANSWER_MALFORMED'],
    [304, 'ZN_ANSWER_MALFORMED'],
  ] as const) {
    test(`that answers ${status}, whatever stands in it: ${code}`, async () => {
      const body = status === 204 || status === 304 ? '' : GOLDEN
      await refuses(code, source(await bsf(answering(status, body))).fetch(bir))
    })
  }

  for (const [what, body] of [
    ['a page of some web server', '<html></html>'],
    ['nothing', ''],
    ['a problem that names a wrong URI', JSON.stringify({ status: 404, cause: 'RESOURCE_URI_STRUCTURE_NOT_FOUND' })],
  ] as const) {
    test(`that answers 404 with ${what} is at a wrong address: no UE has to bootstrap for it`, async () => {
      await refuses('ZN_ANSWER_MALFORMED', source(await bsf(answering(404, body))).fetch(bir))
    })
  }

  for (const status of [307, 308]) {
    test(`that answers ${status} is not followed elsewhere`, async () => {
      let asked = 0
      const elsewhere = await bsf((_request, response) => {
        asked++
        response.end(GOLDEN)
      })
      const root = await bsf(answering(status, '', { location: elsewhere + NBSP_GBA_PATH }))
      await refuses('ZN_ANSWER_MALFORMED', source(root).fetch(bir))
      assert.equal(asked, 0)
    })
  }

  for (const [what, body] of [
    ['nothing', ''],
    ['no JSON', '<html>'],
    ['JSON that is cut short', GOLDEN.slice(0, -1)],
    ['JSON with something after it', `${GOLDEN}{}`],
    ['a list', `[${GOLDEN}]`],
    ['half a key', GOLDEN.replace(/("meKeyMaterial":"[0-9a-f]{32})[0-9a-f]+/, '$1')],
  ] as const) {
    test(`that answers with ${what}: ZN_ANSWER_MALFORMED`, async () => {
      assert.notEqual(body, GOLDEN)
      await refuses('ZN_ANSWER_MALFORMED', source(await bsf(answering(200, body))).fetch(bir))
    })
  }
})

describe('a BSF is unreachable', () => {
  test('that answers with more than anybody needs, whether it says how much or not', async () => {
    const padded = GOLDEN + ' '.repeat(256 * 1024)
    const sized = await bsf(answering(200, padded, { 'content-length': String(padded.length) }))
    await refuses('ZN_BSF_UNREACHABLE', source(sized).fetch(bir))
    const chunked = await bsf((_request, response) => {
      for (let sent = 0; sent < padded.length; sent += 4_096) response.write(padded.slice(sent, sent + 4_096))
      response.end()
    })
    await refuses('ZN_BSF_UNREACHABLE', source(chunked).fetch(bir))
    const justEnough = GOLDEN.padEnd(255 * 1024)
    assert.ok(await source(await bsf(answering(200, justEnough))).fetch(bir))
  })

  test('that does not answer in time', async () => {
    const root = await bsf(() => {})
    const before = performance.now()
    await refuses('ZN_BSF_UNREACHABLE', source(root, { timeoutMs: 100 }).fetch(bir))
    assert.ok(performance.now() - before < 3_000)
  })

  test('that answers octet by octet: the time is for the whole answer', async () => {
    const root = await bsf((_request, response) => {
      let sent = 0
      const timer = setInterval(() => response.write(GOLDEN[sent++] ?? ' '), 20)
      response.on('close', () => clearInterval(timer))
    })
    const before = performance.now()
    await refuses('ZN_BSF_UNREACHABLE', source(root, { timeoutMs: 300 }).fetch(bir))
    assert.ok(performance.now() - before < 3_000)
  })

  test('that hangs up, before or within the answer', async () => {
    const before = await bsf((request) => request.socket.destroy())
    await refuses('ZN_BSF_UNREACHABLE', source(before).fetch(bir))
    const within = await bsf((request, response) => {
      response.writeHead(200, { 'content-length': String(GOLDEN.length) }).write(GOLDEN.slice(0, 20))
      setTimeout(() => request.socket.destroy(), 20)
    })
    await refuses('ZN_BSF_UNREACHABLE', source(within).fetch(bir))
  })

  test('that does not speak HTTP', async () => {
    const root = await bsf((request) => request.socket.end('SSH-2.0-OpenSSH\r\n\r\n'))
    await refuses('ZN_BSF_UNREACHABLE', source(root).fetch(bir))
  })

  test('that does not speak TLS', async () => {
    const server = createNet((socket) =>
      socket
        .on('error', () => {})
        .resume()
        .end('HTTP/1.1 200 OK\r\n\r\n'),
    )
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
    closing.push(() => new Promise((closed) => server.close(closed)))
    const { port } = server.address() as AddressInfo
    await refuses('ZN_BSF_UNREACHABLE', source(`https://127.0.0.1:${port}`).fetch(bir))
  })

  test('where nobody listens', async () => {
    const server = createNet().listen(0, '127.0.0.1')
    await new Promise((listening) => server.once('listening', listening))
    const { port } = server.address() as AddressInfo
    await new Promise((closed) => server.close(closed))
    await refuses('ZN_BSF_UNREACHABLE', source(`https://127.0.0.1:${port}`).fetch(bir))
  })

  for (const [why, serverTls, clientTls, host] of [
    ['whose certificate is of a CA that we do not know', tlsOf(stranger.bsf), client, '127.0.0.1'],
    ['whose certificate is a client’s', client, client, '127.0.0.1'],
    ['whose certificate is for another name', tlsOf(pki.bsf), client, '127.0.0.2'],
    ['that does not know our CA', tlsOf(pki.bsf, stranger.ca.certificate), client, '127.0.0.1'],
    ['to who shows no certificate', tlsOf(pki.bsf), { ca: pki.ca.certificate }, '127.0.0.1'],
  ] as const) {
    test(`${why}, and gets no request`, async () => {
      let asked = 0
      const answer: Answer = (_request, response) => {
        asked++
        response.end(GOLDEN)
      }
      const root = await bsf(answer, serverTls, host)
      await refuses('ZN_BSF_UNREACHABLE', source(root, { tls: clientTls }).fetch(bir))
      assert.equal(asked, 0)
    })
  }

  test('once we have closed', async () => {
    const root = await bsf(answering(200, GOLDEN))
    const keys = source(root)
    await keys.fetch(bir)
    await keys.close?.()
    await refuses('ZN_BSF_UNREACHABLE', keys.fetch(bir))
  })
})
