import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import { runCli } from '../../src/cli/index.ts'

async function health(...args: string[]) {
  const text = { stdout: '', stderr: '' }
  const code = await runCli(['health', ...args], {
    stdout: { write: (chunk) => (text.stdout += String(chunk)) },
    stderr: { write: (chunk) => (text.stderr += String(chunk)) },
    env: {},
    signal: new AbortController().signal,
  })
  return { code, ...text }
}

async function answering(t: TestContext, answer: RequestListener): Promise<string> {
  const server = createServer(answer)
  await new Promise<void>((up) => server.listen(0, '127.0.0.1', up))
  t.after(() => server.close().closeAllConnections())
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/live`
}

describe('health', () => {
  test('is 0 where the answer is 200, and shows it', async (t) => {
    const url = await answering(t, (_, response) => response.end('{"status":"up"}'))
    assert.deepEqual(await health('--url', url), { code: 0, stdout: '{"status":"up"}\n', stderr: '' })
  })

  test('is 1 where the answer is 503, and says so', async (t) => {
    const url = await answering(t, (_, response) => response.writeHead(503).end('draining'))
    const { code, stdout, stderr } = await health('--url', url)
    assert.deepEqual([code, stdout], [1, 'draining\n'])
    assert.match(stderr, /503/)
  })

  test('is 1 where nobody listens, or answers', async (t) => {
    assert.equal((await health('--url', 'http://127.0.0.1:1/live')).code, 1)
    const silent = createTcpServer()
    await new Promise<void>((up) => silent.listen(0, '127.0.0.1', up))
    t.after(() => silent.close())
    const { port } = silent.address() as AddressInfo
    const { code, stderr } = await health('--url', `http://127.0.0.1:${port}/`, '--timeout', '0.2')
    assert.equal(code, 1)
    assert.match(stderr, /does not answer/)
  })

  for (const args of [
    ['--url', 'ftp://x/'],
    ['--url', 'nonsense'],
    ['--timeout', '0'],
    ['--timeout', 'soon'],
    ['--url', 'http://127.0.0.1/', '--ready'],
    ['--config', '/nowhere/at/all.yaml'],
  ]) {
    test(`is 2 for ${args.join(' ')}`, async () => {
      assert.equal((await health(...args)).code, 2)
    })
  }
})
