import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { toHex } from '../../src/core/bytes.ts'
import { renewSecretFile, secretFile } from '../../src/store/secret-file.ts'
import { isUnavailable } from '../contract/adapter.ts'
import { aDirectory } from './directory.ts'

const exec = promisify(execFile)
const aPath = () => join(aDirectory(), 'nonce.key')

describe('a secret file', () => {
  test('is made on first use: 32 octets of hex, for this user only, and nothing beside it', () => {
    const path = aPath()
    const key = toHex(secretFile(path).expose(32))
    assert.equal(readFileSync(path, 'utf8'), `${key}\n`)
    assert.equal(statSync(path).mode & 0o777, 0o600)
    assert.deepEqual(readdirSync(join(path, '..')), ['nonce.key'])
  })

  test('is the same key ever after, and another one elsewhere', () => {
    const path = aPath()
    assert.ok(secretFile(path).equals(secretFile(path)))
    assert.equal(secretFile(path).equals(secretFile(aPath())), false)
  })

  test('gets a fresh key when the one in it is old enough, and not before', () => {
    const path = aPath()
    const first = secretFile(path)
    renewSecretFile(path, statSync(path).mtimeMs + 999, 1000)
    assert.ok(secretFile(path).equals(first))
    renewSecretFile(path, statSync(path).mtimeMs + 1000, 1000)
    assert.equal(secretFile(path).equals(first), false)
    assert.equal(statSync(path).mode & 0o777, 0o600)
    assert.deepEqual(readdirSync(join(path, '..')), ['nonce.key'])
  })

  test('is taken as an operator writes it: in capitals, with or without a line end', () => {
    for (const text of ['AB'.repeat(32), `${'ab'.repeat(32)}\r\n`]) {
      const path = aPath()
      writeFileSync(path, text, { mode: 0o600 })
      assert.equal(toHex(secretFile(path).expose(32)), 'ab'.repeat(32))
    }
  })

  test('is one key for all of several processes that find none at the same time', async () => {
    const path = aPath()
    const module = new URL('../../src/store/secret-file.ts', import.meta.url).href
    // each waits for the same instant, so that they really meet
    const code = `import { renewSecretFile, secretFile } from ${JSON.stringify(module)}
      while (Date.now() < Number(process.argv[1])) {}
      process.stdout.write(Buffer.from(secretFile(process.argv[2]).expose(32)).toString('hex'))`
    const at = String(Date.now() + 1_500)
    const run = () => exec(process.execPath, ['--input-type=module', '-e', code, at, path])
    const keys = await Promise.all(Array.from({ length: 6 }, run))
    assert.deepEqual(new Set(keys.map(({ stdout }) => stdout)), new Set([toHex(secretFile(path).expose(32))]))
    assert.deepEqual(readdirSync(join(path, '..')), ['nonce.key'])
  })
})

describe('a secret file is refused', () => {
  for (const mode of [0o644, 0o640, 0o604, 0o620, 0o660]) {
    test(`that others may open: mode ${mode.toString(8)}`, () => {
      const path = aPath()
      secretFile(path)
      chmodSync(path, mode)
      assert.throws(() => secretFile(path), isUnavailable)
      chmodSync(path, 0o600)
      secretFile(path)
    })
  }

  for (const [what, text] of [
    ['nothing', ''],
    ['31 octets', 'ab'.repeat(31)],
    ['33 octets', 'ab'.repeat(33)],
    ['no hex', 'zz'.repeat(32)],
    ['two keys', `${'ab'.repeat(32)}\n${'cd'.repeat(32)}\n`],
  ] as const) {
    test(`that holds ${what}, and is left as it is`, () => {
      const path = aPath()
      writeFileSync(path, text, { mode: 0o600 })
      assert.throws(() => secretFile(path), isUnavailable)
      assert.equal(readFileSync(path, 'utf8'), text)
    })
  }

  test('that is a directory', () => {
    const path = aPath()
    mkdirSync(path, { mode: 0o700 })
    assert.throws(() => secretFile(path), isUnavailable)
  })

  test('in a directory that is not there, which is not made', () => {
    const path = join(aPath(), 'deeper', 'nonce.key')
    assert.throws(() => secretFile(path), isUnavailable)
    assert.equal(existsSync(join(path, '..')), false)
  })
})
