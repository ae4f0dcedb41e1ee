import assert from 'node:assert/strict'
import { hash, randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type Dumps, dumpFlags, dumpsOf, textsIn } from '../support/process-dumps.ts'
import { start } from '../support/programs.ts'
import { formsOf, leaksIn } from '../support/secret-search.ts'

describe('the search for secrets', () => {
  const secret = { name: 'it', octets: randomBytes(16) }
  const among = (octets: Uint8Array) => Buffer.concat([randomBytes(1_000), octets, randomBytes(1_000)])

  test('finds each form in which one may be written, and nothing else', () => {
    for (const [form, octets] of formsOf(secret.octets)) {
      assert.ok(leaksIn(among(octets), [secret]).includes(`it, as ${form}`), form)
    }
    assert.deepEqual(leaksIn(among(randomBytes(16)), [secret]), [])
    assert.deepEqual(leaksIn('', [secret]), [])
  })
  test('finds one among other octets that were written as base64 together', () => {
    for (let lead = 0; lead < 6; lead++) {
      const text = Buffer.concat([randomBytes(lead), secret.octets, randomBytes(5)]).toString('base64')
      assert.equal(leaksIn(text, [secret]).length > 0, true, `${lead}`)
    }
  })
  test('finds what Node prints of octets', () => {
    const { octets } = secret
    assert.ok(leaksIn(JSON.stringify({ key: Buffer.from(octets) }), [secret]).includes('it, as JSON numbers'))
    assert.ok(leaksIn(`<Buffer ${(octets.toString('hex').match(/../g) ?? []).join(' ')}>`, [secret]).length > 0)
  })
})

/**
 * Each name is one of a secret that stands nowhere in this program, source code being text in its heap as well: it is made
 * of the name where it runs.
 */
const of = (name: string): Buffer => hash('sha256', name, 'buffer').subarray(0, 16)
const HOLDER = `
  import { createSecretKey, hash } from 'node:crypto'
  const of = (name) => hash('sha256', name, 'buffer').subarray(0, 16)
  const half = (text, from) => Buffer.from(text).toString('latin1', from, from + text.length / 2)
  class Private { #text; constructor(text) { this.#text = text } }
  const heldBy = {
    'a property': of('a property').toString('hex'),
    'a private field': new Private(of('a private field').toString('base64')),
    'a closure': ((text) => () => text)(of('a closure').toString('base64url')),
    'a long text': Buffer.from(' '.repeat(5_000) + of('a long text').toString('hex')).toString(),
    'what a part was taken of': Buffer.from('k: ' + of('what a part was taken of').toString('hex') + ' '.repeat(40)).toString().slice(-30),
    'two parts, never joined': ((text) => half(text, 0) + half(text, 16))(of('two parts, never joined').toString('hex')),
    'octets made text': of('octets made text').toString('latin1'),
    'octets in JSON': JSON.stringify(of('octets in JSON')),
    'a Buffer': Buffer.from(of('a Buffer').toString('hex')),
    'a Uint8Array': new Uint8Array(of('a Uint8Array')),
    'a KeyObject': createSecretKey(of('a KeyObject')),
    'numbers': [...of('numbers')],
  }
  heldBy.entry = new WeakMap([[heldBy['a Buffer'], of('the value of a weak map').toString('hex')]])
  void of('what nobody holds').toString('hex')
  globalThis.heldBy = heldBy
  process.stdout.write('ready')
  setInterval(() => {}, 1_000)
`
const IN_HEAP = [
  'a property',
  'a private field',
  'a closure',
  'the value of a weak map',
  'a long text',
  'what a part was taken of',
  'two parts, never joined',
  'octets made text',
  'octets in JSON',
]
const NOT_IN_HEAP = ['a Buffer', 'a Uint8Array', 'a KeyObject', 'numbers', 'what nobody holds']

describe('what the runtime writes down of a process', () => {
  let dumps: Dumps
  before(async () => {
    const directory = await mkdtemp(join(tmpdir(), 'gba-proxy-dumps-'))
    const env = { ...process.env, PLANTED: of('the environment').toString('hex') }
    const args = [...dumpFlags(directory), `--title=${of('the command line').toString('base64')}`]
    const isReady = ({ stdout }: { stdout: () => string }) => stdout() === 'ready'
    const holder = await start(process.execPath, [...args, '--input-type=module', '-e', HOLDER], isReady, { env })
    after(async () => {
      await holder.stop()
      await rm(directory, { recursive: true, force: true })
    })
    dumps = await dumpsOf(holder.pid, directory)
  })
  const isIn = (written: Uint8Array | string, name: string) => leaksIn(written, [{ name, octets: of(name) }]).length > 0

  for (const name of IN_HEAP) {
    test(`of its heap: ${name}`, () => assert.ok(isIn(textsIn(dumps.heap), name)))
  }
  for (const name of NOT_IN_HEAP) {
    test(`not, of its heap: ${name}`, () => assert.ok(!isIn(textsIn(dumps.heap), name)))
  }
  test('in a report: its command line and its environment', () => {
    assert.ok(isIn(dumps.report, 'the command line') && isIn(dumps.report, 'the environment'))
  })
})
