import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { impuOf } from '../../src/lab.ts'
import { apOf, type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { rawConnect, requestOctets } from '../support/raw-client.ts'
import { type ScriptedAs, scriptedAs } from '../support/scripted-as.ts'

// A UE frames one request so that some server on the way sees two, the second of them unauthenticated.
const OWN = `/resource-lists/users/${impuOf('alice')}/index`
const SMUGGLED = `GET /resource-lists/users/${impuOf('bob')}/smuggled HTTP/1.1\r\nHost: x\r\n\r\n`

describe('a request that hides another', () => {
  let as: ScriptedAs
  let lab: TestLab
  let ue: HandUe
  before(async () => {
    as = await scriptedAs((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'))
    lab = await testLab({
      as: null,
      ap: { appServers: [{ name: 'lab', url: as.url }], routes: [{ appServer: 'lab' }] },
    })
    ue = await handUe(lab)
    await ue.request('GET', OWN)
  })
  after(async () => {
    await lab.close()
    await as.close()
    assert.ok(!as.arrived.some(({ head }) => head.includes('smuggled')))
    assert.ok(!lab.decisions.some(({ record }) => record.code === 'INTERNAL'))
  })

  /** What comes back for these octets until the server closes or says no more. */
  async function conversation(octets: Uint8Array): Promise<{ statuses: number[]; arrived: number }> {
    const before = as.arrived.length
    const connection = await rawConnect(ue.at)
    connection.write(octets)
    await Promise.race([connection.closed, delay(150)])
    const text = connection.pending().toString('latin1')
    connection.close()
    const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
    return { statuses, arrived: as.arrived.length - before }
  }
  const put = async (headers: readonly string[], after: string, method = 'PUT', qop: 'auth' | 'auth-int' = 'auth') =>
    Buffer.concat([await ue.signed(method, OWN, { qop, headers }), Buffer.from(after, 'latin1')])
  const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`
  const length = `Content-Length: ${SMUGGLED.length}`

  const refused: Record<string, () => Promise<Buffer>> = {
    'a length and chunks': () => put([length, 'Transfer-Encoding: chunked'], `0\r\n\r\n${SMUGGLED}`),
    'chunks and a length': () => put(['Transfer-Encoding: chunked', 'Content-Length: 5'], `0\r\n\r\n${SMUGGLED}`),
    'two lengths': () => put(['Content-Length: 0', length], SMUGGLED),
    'the same length twice': () => put([length, length], SMUGGLED),
    'a list of lengths': () => put([`${length}, ${SMUGGLED.length}`], SMUGGLED),
    'a length with a sign': () => put([`Content-Length: +${SMUGGLED.length}`], SMUGGLED),
    'a negative length': () => put(['Content-Length: -1'], SMUGGLED),
    'a length in hex': () => put(['Content-Length: 0x10'], SMUGGLED),
    'a length with a space inside': () => put(['Content-Length: 1 0'], SMUGGLED),
    'an empty length': () => put(['Content-Length:'], SMUGGLED),
    'a length beyond all numbers': () => put([`Content-Length: 1${'0'.repeat(30)}`], SMUGGLED),
    'a coding nobody knows': () => put(['Transfer-Encoding: xchunked'], `0\r\n\r\n${SMUGGLED}`),
    'a coding under the chunks': () => put(['Transfer-Encoding: gzip, chunked'], `${chunk(SMUGGLED)}0\r\n\r\n`),
    'a coding over the chunks': () => put(['Transfer-Encoding: chunked, gzip'], `0\r\n\r\n${SMUGGLED}`),
    'chunks twice': () => put(['Transfer-Encoding: chunked, chunked'], `0\r\n\r\n${SMUGGLED}`),
    'chunks in two lines': () =>
      put(['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'], `0\r\n\r\n${SMUGGLED}`),
    'identity and chunks in two lines': () =>
      put(['Transfer-Encoding: identity', 'Transfer-Encoding: chunked'], `0\r\n\r\n${SMUGGLED}`),
    'a quoted coding': () => put(['Transfer-Encoding: "chunked"'], `0\r\n\r\n${SMUGGLED}`),
    'a coding with a parameter': () => put(['Transfer-Encoding: chunked;q=1'], `0\r\n\r\n${SMUGGLED}`),
    'a coding after a vertical tab': () => put(['Transfer-Encoding: \x0bchunked'], `0\r\n\r\n${SMUGGLED}`),
    'no coding': () => put(['Transfer-Encoding:'], `0\r\n\r\n${SMUGGLED}`),
    identity: () => put(['Transfer-Encoding: identity', length], SMUGGLED),
    'a space before the colon': () => put(['Transfer-Encoding : chunked', length], `0\r\n\r\n${SMUGGLED}`),
    'a tab before the colon': () => put(['Content-Length\t: 3', length], SMUGGLED),
    'a folded header': () => put(['X-A: b\r\n c', length], SMUGGLED),
    'a folded coding': () => put(['Transfer-Encoding:\r\n chunked', length], `0\r\n\r\n${SMUGGLED}`),
    'a header without a name': () => put([': x', length], SMUGGLED),
    'a header without a colon': () => put(['X-A', length], SMUGGLED),
    'a NUL in a header': () => put(['X-A: \0', length], SMUGGLED),
    'a bare carriage return in a header': () => put(['X-A: b\rX-B: c', length], SMUGGLED),
    'a space in a header name': () => put(['X A: b', length], SMUGGLED),
    'a chunk size that is none': () => put(['Transfer-Encoding: chunked'], `xyz\r\n${SMUGGLED}`),
    'a negative chunk size': () => put(['Transfer-Encoding: chunked'], `-1\r\n${SMUGGLED}`),
    'a chunk size with 0x': () => put(['Transfer-Encoding: chunked'], `0x1\r\na\r\n0\r\n\r\n${SMUGGLED}`),
    'a chunk size that overflows': () => put(['Transfer-Encoding: chunked'], `10000000000000000\r\n${SMUGGLED}`),
    'a chunk without its end': () => put(['Transfer-Encoding: chunked'], `1\r\na0\r\n\r\n${SMUGGLED}`),
    'a chunk ended by a line feed': () => put(['Transfer-Encoding: chunked'], `1\na\n0\n\n${SMUGGLED}`),
    'a length in a trailer': () =>
      put(['Transfer-Encoding: chunked'], `1\r\na\r\n0\r\nContent-Length: 99\r\n\r\n${SMUGGLED}`),
    'a chunk size after a space': () => put(['Transfer-Encoding: chunked'], ` 1\r\na\r\n0\r\n\r\n${SMUGGLED}`),
    'two Hosts': () => put(['Host: other.example.com', length], SMUGGLED),
    'a GET with a length': () => put([length], SMUGGLED, 'GET'),
    'a GET with chunks': () => put(['Transfer-Encoding: chunked'], `${chunk(SMUGGLED)}0\r\n\r\n`, 'GET'),
    'a HEAD with a length': () => put([length], SMUGGLED, 'HEAD'),
    'chunks under HTTP/1.0': async () => {
      const octets = await put(['Transfer-Encoding: chunked', 'Connection: keep-alive'], `0\r\n\r\n${SMUGGLED}`)
      return Buffer.from(octets.toString('latin1').replace('HTTP/1.1', 'HTTP/1.0'), 'latin1')
    },
    'HTTP/0.9': async () =>
      Buffer.from((await put([length], SMUGGLED)).toString('latin1').replace('HTTP/1.1', 'HTTP/0.9'), 'latin1'),
    'HTTP/2.0': async () =>
      Buffer.from((await put([length], SMUGGLED)).toString('latin1').replace('HTTP/1.1', 'HTTP/2.0'), 'latin1'),
    'HTTP/1.10': async () =>
      Buffer.from((await put([length], SMUGGLED)).toString('latin1').replace('HTTP/1.1', 'HTTP/1.10'), 'latin1'),
    'line feeds alone': async () =>
      Buffer.from((await put([length], SMUGGLED)).toString('latin1').replaceAll('\r\n', '\n'), 'latin1'),
    'a second target in the request line': async () =>
      Buffer.from((await put([length], SMUGGLED)).toString('latin1').replace(' HTTP/1.1', ' /x HTTP/1.1'), 'latin1'),
  }
  for (const [name, octetsOf] of Object.entries(refused)) {
    test(`${name}: refused once, nothing is forwarded, and the connection is over`, async () => {
      const connection = await rawConnect(ue.at)
      const before = as.arrived.length
      connection.write(await octetsOf())
      await Promise.race([connection.closed, delay(2000).then(() => assert.fail('the connection is open'))])
      const statuses = [
        ...connection
          .pending()
          .toString('latin1')
          .matchAll(/HTTP\/1\.1 (\d{3}) /g),
      ].map(([, s]) => s)
      connection.close()
      assert.equal(statuses.length, 1)
      assert.match(statuses[0] ?? '', /^4/)
      assert.equal(as.arrived.length, before)
    })
  }

  const harmless: Record<string, () => Promise<Buffer>> = {
    'as its body': () => put([length], SMUGGLED),
    'as its body, of a DELETE': () => put([length], SMUGGLED, 'DELETE'),
    'in chunks': () => put(['Transfer-Encoding: Chunked'], `${chunk(SMUGGLED)}0\r\n\r\n`),
    'after an upgrade that nobody grants': () =>
      put(
        ['Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA', length],
        SMUGGLED,
      ),
    'two spaces in the request line': async () =>
      Buffer.from((await put([length], SMUGGLED)).toString('latin1').replace(' HTTP/1.1', '  HTTP/1.1'), 'latin1'),
    'behind an expectation': () => put(['Expect: 100-continue', length], SMUGGLED),
  }
  for (const [name, octetsOf] of Object.entries(harmless)) {
    test(`${name}: forwarded as one, the other within it`, async () => {
      const { statuses, arrived } = await conversation(await octetsOf())
      assert.deepEqual(
        statuses.filter((status) => status !== 100),
        [200],
      )
      assert.equal(arrived, 1)
      assert.equal(as.arrived.at(-1)?.body.toString(), SMUGGLED)
    })
  }
  test('in a trailer: its fields are dropped', async () => {
    const octets = await put(['Transfer-Encoding: chunked'], '1\r\na\r\n0\r\nX-Smuggled: y\r\nHost: smuggled\r\n\r\n')
    const { statuses, arrived } = await conversation(octets)
    assert.deepEqual([statuses, arrived], [[200], 1])
    assert.doesNotMatch(as.arrived.at(-1)?.head ?? '', /smuggled/i)
  })
  test('behind it, in the open: it is a request of its own, and gets 401', async () => {
    const first = await ue.signed('GET', OWN)
    const second = requestOctets(`GET ${OWN} HTTP/1.1`, [`Host: ${ue.naf}`])
    const { statuses, arrived } = await conversation(Buffer.concat([first, second]))
    assert.deepEqual([statuses, arrived], [[200, 401], 1])
  })
  test('behind one that is refused for what it is not allowed: the body is not taken for a request', async () => {
    const foreign = `/resource-lists/users/${impuOf('bob')}/index`
    const octets = Buffer.concat([await ue.signed('PUT', foreign, { headers: [length] }), Buffer.from(SMUGGLED)])
    const { statuses, arrived } = await conversation(octets)
    assert.deepEqual([statuses, arrived], [[403], 0])
  })
  test('behind one that nobody signed: the body is not taken for a request', async () => {
    const lines = [`Host: ${ue.naf}`, length]
    const { statuses, arrived } = await conversation(requestOctets(`PUT ${OWN} HTTP/1.1`, lines, SMUGGLED))
    assert.deepEqual([statuses, arrived], [[401], 0])
  })
})

test('octets that are no request do not get into an answer that is under way', async () => {
  const as = await scriptedAs((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n${'x'.repeat(500)}`)
    setTimeout(() => socket.write('x'.repeat(500)), 150)
  })
  const lab = await testLab({
    as: null,
    ap: { appServers: [{ name: 'lab', url: as.url }], routes: [{ appServer: 'lab' }] },
  })
  try {
    const ue = await handUe(lab)
    const connection = await rawConnect(apOf(lab))
    connection.write(await ue.signed('GET', OWN))
    while (!connection.pending().includes('xxx')) await delay(5)
    connection.write('no request\r\n\r\n')
    await connection.closed
    const text = connection.pending().toString('latin1')
    connection.close()
    // The answer is cut off, or is whole before they are refused.
    const [head = '', body = '', ...more] = text.split('\r\n\r\n')
    assert.match(head, /^HTTP\/1\.1 200 /)
    assert.match(body, more.length === 0 ? /^x{500,1000}$/ : /^x{1000}HTTP\/1\.1 400 [^x]*$/)
  } finally {
    await lab.close()
    await as.close()
  }
})
