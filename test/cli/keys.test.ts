import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { runCli } from '../../src/cli/index.ts'

const FILES = ['app-server-pseudonym.key', 'nonce.key', 'pseudonym.key', 'seal.key', 'tickets.key']

describe('gba-proxy keys', () => {
  let directory: string
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'gba-proxy-keys-'))
  })
  after(() => rm(directory, { recursive: true, force: true }))

  async function keys(...args: string[]) {
    const texts = { stdout: '', stderr: '' }
    const sink = (name: 'stdout' | 'stderr') => ({
      write: (text: string) => {
        texts[name] += text
        return true
      },
    })
    const io = { env: {}, stdin: process.stdin, signal: new AbortController().signal }
    const status = await runCli(['keys', ...args], { ...io, stdout: sink('stdout'), stderr: sink('stderr') })
    return { status, ...texts }
  }

  test('makes each file once, for its owner alone, and names it', async () => {
    const folder = join(directory, 'keys')
    const made = await keys('--dir', folder)
    assert.deepEqual([made.status, made.stdout.trim().split('\n').sort()], [0, FILES.map((name) => join(folder, name))])
    assert.deepEqual((await readdir(folder)).sort(), FILES)
    for (const file of [folder, ...FILES.map((name) => join(folder, name))]) {
      assert.equal((await stat(file)).mode & 0o077, 0)
    }
    const before = await Promise.all(FILES.map((name) => readFile(join(folder, name), 'utf8')))
    assert.equal(new Set(before).size, FILES.length)
    await rm(join(folder, 'nonce.key'))
    const again = await keys('--dir', folder)
    assert.deepEqual([again.status, again.stdout], [0, `${join(folder, 'nonce.key')}\n`])
    const now = await Promise.all(FILES.map((name) => readFile(join(folder, name), 'utf8')))
    assert.deepEqual(
      now.map((text, i) => text === before[i]),
      [true, false, true, true, true],
    )
  })

  test('says why it cannot', async () => {
    const file = join(directory, 'a-file')
    await writeFile(file, '')
    for (const dir of [file, join(file, 'below')]) {
      const refused = await keys('--dir', dir)
      assert.deepEqual([refused.status, refused.stdout], [1, ''])
      assert.match(refused.stderr, /^gba-proxy keys: \S/)
    }
  })
})
