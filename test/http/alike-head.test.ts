import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { HeadReader, type KnownHead, knownHead, readAlikeHead } from '../../src/http/alike-head.ts'
import { readRequestHead } from '../../src/http/request-head.ts'
import { caseOf, type Random, randomOf } from './request-head-cases.ts'

const LIMITS = { headerBytes: 16_384, headerCount: 100, bodyBytes: 1000 }

const headOf = (authorization: string, rest = 'User-Agent: UE\r\n') =>
  `GET /resource-lists/users/sip:a@b.c/index HTTP/1.1\r\nHost: xcap.example\r\nAuthorization: ${authorization}\r\n${rest}\r\n`

function knownOf(octets: Buffer): KnownHead | undefined {
  const head = readRequestHead(octets, LIMITS)
  return typeof head === 'string' ? undefined : knownHead(octets, head)
}

function known(text: string): KnownHead {
  const found = knownOf(Buffer.from(text, 'latin1'))
  if (!found) throw new TypeError('not a head to know')
  return found
}

const read = (text: string, of: KnownHead) => readAlikeHead(Buffer.from(text, 'latin1'), of)

describe('a head like one that is known', () => {
  const before = known(headOf('Digest nc=00000001, response="aa"'))

  test('is read as the whole would be, with the credentials that it has', () => {
    const text = headOf('Digest nc=00000002, response="bb"')
    const head = read(`${text}GET / HTTP/1.1`, before)
    assert.deepEqual(head, readRequestHead(Buffer.from(text), LIMITS))
    assert.equal(head?.likeness, before.head.likeness)
    assert.deepEqual(before.head.authorization, ['Digest nc=00000001, response="aa"'])
  })

  test('is another one where anything else differs, or the credentials are longer', () => {
    const same = 'Digest nc=00000002, response="bb"'
    assert.ok(read(headOf(same), before))
    for (const other of [
      headOf(same, 'User-Agent: XY\r\n'),
      headOf(same, ''),
      headOf(same, 'User-Agent: UE\r\nX: y\r\n'),
      headOf(same).replace('GET', 'PUT'),
      headOf(same).replace('a@b', 'x@b'),
      headOf(`${same},`),
      headOf(same.slice(1)),
      headOf(same).slice(0, -1),
    ]) {
      assert.equal(read(other, before), undefined, other)
    }
  })

  test('is not looked for where octets of the value could be read otherwise', () => {
    const length = 'Digest nc=00000001, response="aa"'.length
    for (const value of [
      ' '.padEnd(length, 'x'),
      'x'.padEnd(length),
      'x\r\nHost: y'.padEnd(length, 'z'),
      'x\0'.padEnd(length, 'z'),
    ]) {
      assert.equal(read(headOf(value), before), undefined, JSON.stringify(value))
    }
  })

  test('takes the value of Authorization for its own, though another header has the same', () => {
    const twice = known(`PUT / HTTP/1.1\r\nHost: a\r\nX: abc\r\nAuthorization: abc\r\nContent-Length: 0\r\n\r\n`)
    const head = read(`PUT / HTTP/1.1\r\nHost: a\r\nX: abc\r\nAuthorization: abd\r\nContent-Length: 0\r\n\r\n`, twice)
    assert.deepEqual(head?.rawHeaders, ['Host', 'a', 'X', 'abc', 'Authorization', 'abd', 'Content-Length', '0'])
  })

  test('is not known without credentials, with two, and when it is very long', () => {
    for (const text of [
      'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nAuthorization: y\r\n\r\n',
      `GET / HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nX: ${'y'.repeat(2048)}\r\n\r\n`,
    ]) {
      assert.equal(knownOf(Buffer.from(text)), undefined)
    }
  })

  test('is what the reader of whole heads makes of it, whatever was changed', () => {
    let alike = 0
    let accepted = 0
    for (let seed = 0; seed < 6_000; seed++) {
      const random = randomOf(seed)
      const octets = Buffer.from(caseOf(seed).text, 'latin1')
      const its = knownOf(octets)
      if (!its) continue
      const changed = change(octets, its, random)
      const found = readAlikeHead(changed, its)
      const whole = readRequestHead(changed, LIMITS)
      if (typeof whole !== 'string') accepted++
      if (!found) continue
      alike++
      assert.deepEqual(found, whole, `seed ${seed}`)
    }
    assert.ok(alike > 100 && accepted > alike, `${alike} of ${accepted}`)
  })
})

/** One to three octets, mostly of the value. */
function change(octets: Buffer, { from, to }: KnownHead, random: Random): Buffer {
  const changed = Buffer.from(octets)
  for (let n = random(3) + 1; n > 0; n--) {
    const at = random(8) === 0 ? random(octets.length) : from + random(to - from + (random(4) === 0 ? 3 : 0))
    changed[at] = random(10) === 0 ? (ODD[random(ODD.length)] ?? 0) : 0x30 + random(75)
  }
  return changed
}

const ODD = [0, 9, 10, 13, 32, 58, 127, 128, 255]

describe('a reader of heads', () => {
  const octetsOf = (n: number, response: string, pad = 0) =>
    Buffer.from(
      `GET /d/users/sip:u${n}@b.c/index HTTP/1.1\r\nHost: a\r\nAuthorization: ${response}\r\nX: ${'x'.repeat(pad)}\r\n\r\n`,
    )
  const readTwice = (reader: HeadReader, n: number, pad?: number) => {
    for (const response of ['r1', 'r2']) reader.read(octetsOf(n, response, pad))
    const head = reader.read(octetsOf(n, 'r3', pad))
    if (typeof head === 'string') throw new TypeError(head)
    return head
  }

  test('keeps what comes again, and nothing of what came once', () => {
    const reader = new HeadReader(LIMITS)
    const once = reader.read(octetsOf(1, 'r0'))
    assert.equal(typeof once === 'string' || once.likeness.isKept, false)
    const head = readTwice(reader, 1)
    assert.equal(head.likeness.isKept, true)
    assert.deepEqual(head.authorization, ['r3'])
    const again = reader.read(octetsOf(1, 'r4'))
    assert.equal(typeof again === 'string' ? again : again.likeness, head.likeness)
  })

  test('forgets all when it is told to, and when it has had enough', () => {
    const reader = new HeadReader(LIMITS)
    const { likeness } = readTwice(reader, 1)
    reader.forget()
    assert.notEqual(readTwice(reader, 1).likeness, likeness)
    const kept = readTwice(reader, 1).likeness
    for (let n = 2; n < 1_200; n++) readTwice(reader, n, 1_900)
    assert.notEqual(readTwice(reader, 1).likeness, kept)
    const shortOnes = readTwice(reader, 1).likeness
    for (let n = 2; n < 4_200; n++) readTwice(reader, n)
    assert.notEqual(readTwice(reader, 1).likeness, shortOnes)
  })

  test('looks at no request line that is very long, and at none that is not there', () => {
    const reader = new HeadReader(LIMITS)
    const long = Buffer.from(`GET /${'x'.repeat(600)} HTTP/1.1\r\nHost: a\r\nAuthorization: r\r\n\r\n`)
    for (let times = 0; times < 3; times++) {
      const head = reader.read(long)
      assert.equal(typeof head === 'string' || head.likeness.isKept, false)
    }
    assert.equal(reader.read(Buffer.from('GET')), 'more')
  })
})
