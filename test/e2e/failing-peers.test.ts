import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { impuOf, prepareLab } from '../../src/lab.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { type RawAnswer, rawConnect, rawExchange, requestOctets } from '../support/raw-client.ts'
import { assertRefusal, problemIdOf } from '../support/refusals.ts'
import { type Arrived, type ScriptedAs, scriptedAs } from '../support/scripted-as.ts'

// What a UE gets when a server behind the proxy is down, slow, broken, or wants credentials of its own.
const own = (document: string, auid = 'resource-lists') => `/${auid}/users/${impuOf('alice')}/${document}`

describe('an application server that fails', () => {
  let as: ScriptedAs
  let lab: TestLab
  let ue: HandUe
  let script: (socket: Socket, request: Arrived) => void = () => {}
  before(async () => {
    as = await scriptedAs((socket, request) => script(socket, request))
    const closed = await scriptedAs(() => {})
    await closed.close()
    const patience = { timeoutMs: 300, connectTimeoutMs: 200 }
    lab = await testLab({
      as: null,
      ap: {
        challenge: { algorithms: ['SHA-256', 'MD5'], requireToken: true },
        limits: { authIntAnswerBytes: 100_000, requestTimeoutMs: 1500, headersTimeoutMs: 1000 },
        appServers: [
          { name: 'scripted', url: as.url, ...patience },
          { name: 'one-at-a-time', url: as.url, ...patience, connections: 1 },
          { name: 'closed', url: closed.url, ...patience },
        ],
        routes: [
          { pathPrefix: '/pres-rules', appServer: 'closed' },
          { pathPrefix: '/rls-services', appServer: 'one-at-a-time' },
          { pathPrefix: '/resource-lists', appServer: 'scripted' },
        ],
      },
    })
    ue = await handUe(lab)
  })
  after(async () => {
    await lab.close()
    await as.close()
    assert.ok(!lab.decisions.some(({ record }) => record.code === 'INTERNAL'))
  })
  const answers = (head: string, body = '') => {
    script = (socket) => socket.write(`${head.replaceAll('\n', '\r\n')}\r\n\r\n${body}`)
  }
  const refusedWith = (answer: RawAnswer, status: number, code: Parameters<typeof assertRefusal>[2]['code']) => {
    assertRefusal(lab, answer, { status, code })
    // the refusal is ours, and says so
    assert.match(answer.header('authentication-info') ?? '', /^qop=auth(?:-int)?,rspauth="[0-9a-f]{32}"/)
  }

  test('is down: 502', async () => {
    refusedWith(await ue.request('GET', own('index', 'pres-rules')), 502, 'UT_AS_UNREACHABLE')
    const body = '<a/>'
    refusedWith(await ue.request('PUT', own('index', 'pres-rules'), { body }), 502, 'UT_AS_UNREACHABLE')
  })
  for (const qop of ['auth', 'auth-int'] as const) {
    describe(`under qop=${qop}`, () => {
      test('closes without an answer: 502', async () => {
        script = (socket) => socket.destroy()
        refusedWith(await ue.request('GET', own('index'), { qop }), 502, 'UT_AS_UNREACHABLE')
      })
      test('resets without an answer: 502', async () => {
        script = (socket) => socket.resetAndDestroy()
        refusedWith(await ue.request('GET', own('index'), { qop }), 502, 'UT_AS_UNREACHABLE')
      })
      test('says nothing: 504', async () => {
        script = () => {}
        refusedWith(await ue.request('GET', own('index'), { qop }), 504, 'UT_AS_TIMEOUT')
      })
      test('says no more than its header, and nothing: 504', async () => {
        answers('HTTP/1.1 200 OK\nETag: "1"\nContent-Length: 10')
        const answer = await ue.request('GET', own('index'), { qop })
        refusedWith(answer, 504, 'UT_AS_TIMEOUT')
        assert.equal(answer.header('etag'), undefined)
      })
      test('says no more than its header, and resets: 502', async () => {
        script = (socket) => {
          socket.write('HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 10\r\n\r\n')
          setTimeout(() => socket.resetAndDestroy(), 30)
        }
        const answer = await ue.request('GET', own('index'), { qop })
        refusedWith(answer, 502, 'UT_AS_UNREACHABLE')
        assert.equal(answer.header('etag'), undefined)
      })
      const notHttp: Record<string, string> = {
        'no HTTP': 'SSH-2.0-OpenSSH_9.2\n',
        'a status of four digits': 'HTTP/1.1 2000 OK\nContent-Length: 0',
        'two lengths': 'HTTP/1.1 200 OK\nContent-Length: 3\nContent-Length: 5',
        'a length and chunks': 'HTTP/1.1 200 OK\nContent-Length: 3\nTransfer-Encoding: chunked',
        'a status beyond all': 'HTTP/1.1 999 OK\nContent-Length: 0',
        'a header without end': `HTTP/1.1 200 OK\nX: ${'x'.repeat(100_000)}`,
      }
      for (const [name, head] of Object.entries(notHttp)) {
        test(`answers with ${name}: 502`, async () => {
          answers(head)
          refusedWith(await ue.request('GET', own('index'), { qop }), 502, 'UT_AS_ANSWER_INVALID')
        })
      }
      test('switches protocols, which nobody asked for: 502', async () => {
        answers('HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: h2c')
        refusedWith(await ue.request('GET', own('index'), { qop }), 502, 'UT_AS_ANSWER_INVALID')
      })
      for (const status of [401, 407]) {
        test(`answers ${status}: 403, and nothing of its challenge gets through`, async () => {
          answers(
            `HTTP/1.1 ${status} Who\nContent-Length: 100000\nETag: "secret"\nContent-Encoding: gzip\nWWW-Authenticate: Basic\n` +
              'Proxy-Authenticate: Basic\nSet-Cookie: a=b\nX-Own: y',
            'challenge',
          )
          const answer = await ue.request('GET', own('index'), { qop })
          refusedWith(answer, 403, 'UT_AS_WANTS_CREDENTIALS')
          assert.deepEqual(answer.headers.map(([name]) => name).sort(), [
            'authentication-info',
            'connection',
            'content-length',
            'content-type',
            'date',
            'keep-alive',
            'server',
            'x-request-id',
          ])
        })
      }
    })
  }

  describe('an answer that breaks off', () => {
    const breakings: Record<string, (socket: Socket) => void> = {
      'by a reset': (socket) => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n${'x'.repeat(20_000)}`)
        setTimeout(() => socket.resetAndDestroy(), 50)
      },
      'by a close before its length': (socket) => {
        socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n${'x'.repeat(20_000)}`)
      },
      'by a close before the last chunk': (socket) => {
        socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
      },
      'by a chunk that is none': (socket) => {
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n')
      },
      'by a reset in the midst of much': (socket) => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n${'x'.repeat(200_000)}`)
        setTimeout(() => socket.resetAndDestroy(), 50)
      },
      'by silence': (socket) => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n${'x'.repeat(20_000)}`)
      },
    }
    for (const [name, breaking] of Object.entries(breakings)) {
      test(`${name} is never shown as a whole one`, async () => {
        script = breaking
        const isTold = await ue.request('GET', own('index')).catch((error: Error) => error)
        if (isTold instanceof Error) assert.match(isTold.message, /ended within an answer/)
        // Small answers are held until they are whole; of those that are not, nothing is shown.
        else assert.ok([502, 504].includes(isTold.status) && !isTold.body.includes('xxx'), String(isTold.status))
      })
      test(`${name} is 502 or 504 under auth-int, and nothing of it is shown`, async () => {
        script = breaking
        const answer = await ue.request('GET', own('index'), { qop: 'auth-int' })
        if (name === 'by silence') refusedWith(answer, 504, 'UT_AS_TIMEOUT')
        else if (name.includes('much')) refusedWith(answer, 502, 'UT_ANSWER_TOO_LARGE')
        else refusedWith(answer, 502, name.includes('none') ? 'UT_AS_ANSWER_INVALID' : 'UT_AS_UNREACHABLE')
      })
    }
    test('is not shown as a whole one to an HTTP/1.0 client either, for whom its end would be that of the connection', async () => {
      script = (socket) => {
        socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n')
        setTimeout(() => socket.destroy(), 50)
      }
      const octets = (await ue.signed('GET', own('index'))).toString('latin1').replace('HTTP/1.1', 'HTTP/1.0')
      refusedWith(await ue.send(Buffer.from(octets, 'latin1')), 502, 'UT_AS_UNREACHABLE')
    })
  })

  describe('under auth-int the whole answer is covered', () => {
    test('up to the bound', async () => {
      answers('HTTP/1.1 200 OK\nTransfer-Encoding: chunked', `186a0\r\n${'x'.repeat(100_000)}\r\n0\r\n\r\n`)
      const answer = await ue.request('GET', own('index'), { qop: 'auth-int' })
      assert.equal(answer.status, 200)
      assert.equal(answer.body.length, 100_000)
      assert.equal(answer.header('content-length'), '100000')
    })
    for (const [name, head, body] of [
      ['announced', 'HTTP/1.1 200 OK\nETag: "1"\nContent-Length: 100001', 'x'.repeat(100_001)],
      [
        'in chunks',
        'HTTP/1.1 200 OK\nETag: "1"\nTransfer-Encoding: chunked',
        `186a1\r\n${'x'.repeat(100_001)}\r\n0\r\n\r\n`,
      ],
    ] as const) {
      test(`beyond the bound, ${name}: 502, with nothing cut`, async () => {
        answers(head, body)
        const answer = await ue.request('GET', own('index'), { qop: 'auth-int' })
        refusedWith(answer, 502, 'UT_ANSWER_TOO_LARGE')
        assert.equal(answer.header('etag'), undefined)
      })
      test(`the same passes under auth, ${name}`, async () => {
        answers(head, body)
        const answer = await ue.request('GET', own('index'))
        assert.equal(answer.status, 200)
        assert.equal(answer.body.length, 100_001)
      })
    }
  })

  test('that hangs makes nobody wait longer than the first: 504 for all', async () => {
    script = () => {}
    const startedAt = Date.now()
    const requests = await Promise.all(
      Array.from({ length: 10 }, (_, n) => ue.signed('GET', own(`${n}`, 'rls-services'))),
    )
    const answers = await Promise.all(requests.map((octets) => ue.send(octets)))
    for (const answer of answers) refusedWith(answer, 504, 'UT_AS_TIMEOUT')
    // 500 ms is what one may take; a queue would make it 3000
    assert.ok(Date.now() - startedAt < 2000, `${Date.now() - startedAt} ms`)
  })
  const whole = (socket: Socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')

  test('is freed when the UE goes away, though it would go on for ever', async () => {
    script = (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
      const stream = setInterval(() => socket.write('5\r\nhello\r\n'), 20)
      socket.once('close', () => clearInterval(stream))
    }
    const connection = await rawConnect(ue.at)
    connection.write(await ue.signed('GET', own('index', 'rls-services')))
    while (!connection.pending().includes('hello')) await delay(10)
    connection.close()
    script = whole
    assert.equal((await ue.request('GET', own('index', 'rls-services'))).status, 200)
  })
  test('is freed when the UE stops reading', async () => {
    script = (socket, { head }) => {
      if (head.includes('/small')) whole(socket)
      else socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n${'x'.repeat(32 * 1024 * 1024)}`)
    }
    const connection = await rawConnect(ue.at)
    connection.socket.pause()
    connection.write(await ue.signed('GET', own('large', 'rls-services')))
    const deadline = Date.now() + 6000
    let status = 0
    while (status !== 200 && Date.now() < deadline) {
      await delay(100)
      status = (await ue.request('GET', own('small', 'rls-services'))).status
    }
    connection.close()
    assert.equal(status, 200)
  })

  test('a path that no route is for gets 404', async () => {
    assertRefusal(lab, await ue.request('GET', own('x', 'org.example')), { status: 404, code: 'UT_ROUTE_UNKNOWN' })
  })
  test('one 401 has a challenge for each algorithm, with one fresh nonce', async () => {
    const octets = requestOctets(`GET ${own('index')} HTTP/1.1`, [`Host: ${ue.naf}`, 'User-Agent: x; 3gpp-gba'])
    const answer = await ue.send(octets)
    assertRefusal(lab, answer, { status: 401, code: 'UA_CREDENTIALS_MISSING', challenges: 2 })
    assert.deepEqual(
      answer.values('www-authenticate').map((challenge) => /algorithm=([^,]+)/.exec(challenge)?.[1]),
      ['SHA-256', 'MD5'],
    )
    answers('HTTP/1.1 200 OK\nContent-Length: 0')
    for (const algorithm of ['MD5', 'SHA-256']) {
      assert.equal((await ue.request('GET', own('index'), { algorithm })).status, 200)
    }
  })
  test('where the token is required, a UE without it gets 403 and no challenge', async () => {
    for (const agent of ['', 'x 3gpp-gba-uicc', 'x 3GPP-GBA', 'x3gpp-gba']) {
      const octets = requestOctets(`GET ${own('index')} HTTP/1.1`, [`Host: ${ue.naf}`, `User-Agent: ${agent}`])
      assertRefusal(lab, await ue.send(octets), { status: 403, code: 'UA_TOKEN_MISSING' })
    }
  })
})

describe('a BSF that fails', () => {
  let bsf: Server
  let lab: TestLab
  let ue: HandUe
  let certs: string
  const sockets = new Set<Socket>()
  before(async () => {
    certs = await mkdtemp(join(tmpdir(), 'gba-proxy-test-'))
    await prepareLab(certs, { randomBytes, now: Date.now() })
    bsf = createServer((socket) => {
      sockets.add(socket)
      socket.on('error', () => {})
    })
    await new Promise<void>((listening) => bsf.listen(0, '127.0.0.1', listening))
    const { port } = bsf.address() as { port: number }
    lab = await testLab({
      recording: true,
      ap: {
        zn: {
          adapter: 'http',
          url: `https://127.0.0.1:${port}`,
          caFile: join(certs, 'certs', 'ca.pem'),
          certificateFile: join(certs, 'certs', 'zn-ap.pem'),
          keyFile: join(certs, 'certs', 'zn-ap.key'),
          timeoutMs: 300,
        },
      },
    })
    ue = await handUe(lab)
  })
  after(async () => {
    await lab.close()
    bsf.close()
    for (const socket of sockets) socket.destroy()
    await rm(certs, { recursive: true, force: true })
  })
  for (const how of ['is slow', 'closes', 'is down']) {
    test(`${how}: 503 with Retry-After, no challenge, and nothing is forwarded`, async () => {
      if (how === 'closes') bsf.removeAllListeners('connection').on('connection', (socket: Socket) => socket.destroy())
      if (how === 'is down') {
        await new Promise<void>((closed) => {
          bsf.close(() => closed())
          for (const socket of sockets) socket.destroy()
        })
      }
      for (const qop of ['auth', 'auth-int'] as const) {
        const answer = await ue.request('PUT', own('index'), { qop, body: '<a/>' })
        assertRefusal(lab, answer, { status: 503, code: 'ZN_BSF_UNREACHABLE' })
        const { durationMs } = lab.decisions.at(-1)?.record ?? {}
        assert.ok(durationMs !== undefined && durationMs < 900, `${durationMs} ms`)
      }
      assert.equal(lab.seen.length, 0)
    })
  }
  test('a stranger without a nonce of ours is turned away without a word to the BSF', async () => {
    const fetched = lab.app.audit.count('zn.fetched')
    const answer = await rawExchange(ue.at, await ue.signed('GET', own('index'), { nonce: 'x'.repeat(40), nc: 1 }))
    assert.equal(answer.status, 401)
    assert.ok(problemIdOf(answer))
    assert.equal(lab.app.audit.count('zn.fetched'), fetched)
  })
})
