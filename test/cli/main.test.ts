import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const run = (...args: string[]) => spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8' })

/** A Node of the system that is older than we need, if there is one. */
const oldNode = ['/usr/bin/node', '/usr/local/bin/node'].find((path) => {
  const version = existsSync(path) ? spawnSync(path, ['-v'], { encoding: 'utf8' }).stdout : ''
  return /^v(?:1\d|2[0-3])\./.test(version)
})

describe('the program', () => {
  test('prints its version and ends with 0', () => {
    const { status, stdout } = run('--version')
    assert.equal(status, 0)
    assert.match(stdout, /^gba-proxy \d/)
  })

  test('ends with 2 on an unknown subcommand, with the nearest', () => {
    const { status, stderr } = run('chekc')
    assert.equal(status, 2)
    assert.match(stderr, /check\?/)
  })

  test('is happy with a reader that goes away', () => {
    const { status, stderr } = spawnSync('/bin/sh', ['-c', '"$0" "$1" certs --help | true', process.execPath, MAIN], {
      encoding: 'utf8',
    })
    assert.deepEqual([status, stderr], [0, ''])
  })

  test('says what to do on an older Node, and ends with 2', { skip: !oldNode && 'there is no older Node here' }, () => {
    const script = stripTypeScriptTypes(readFileSync(MAIN, 'utf8'))
    const { status, stderr } = spawnSync(oldNode ?? '', ['--input-type=module', '-'], {
      input: script,
      encoding: 'utf8',
    })
    assert.equal(status, 2)
    assert.match(stderr, /needs Node 24/)
  })
})
