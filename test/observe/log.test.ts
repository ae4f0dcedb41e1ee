import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import Fastify from 'fastify'
import { fromHex } from '../../src/core/bytes.ts'
import { Secret } from '../../src/core/secret.ts'
import { GbaError } from '../../src/errors.ts'
import { createLog, type LogOptions, pseudonymiser, withoutRedaction } from '../../src/observe/log.ts'

const IMPU = 'sip:alice@example.org'
const KEY_HEX = '000102030405060708090a0b0c0d0e0f'

function recording(options: Partial<LogOptions> = {}) {
  const lines: string[] = []
  const destination = { write: (line: string) => lines.push(line) }
  const log = createLog({ level: 'info', identities: 'hashed', ...options, destination })
  return { log, lines, last: (): Record<string, unknown> => JSON.parse(lines.at(-1) ?? '{}') }
}

describe('the log', () => {
  test('writes an event name, a level in words, an instant and the fields', () => {
    const { log, last } = recording()
    log.warn({ code: 'UA_NC_REUSED' }, 'ua.refused')
    const { time, ...rest } = last()
    assert.deepEqual(rest, { level: 'warn', code: 'UA_NC_REUSED', event: 'ua.refused' })
    assert.match(String(time), /^\d{4}-\d\d-\d\dT.*Z$/)
  })

  test('leaves out what is below its level', () => {
    const { log, lines } = recording({ level: 'error' })
    log.warn('ua.refused')
    assert.deepEqual(lines, [])
  })

  test('shows method and id of a request, and nothing of its target, headers and sender', async () => {
    const { log, lines, last } = recording()
    const app = Fastify({ loggerInstance: log, genReqId: () => 'r-1' })
    app.get('/*', async (request) => {
      request.log.info({ req: request }, 'ut.seen')
      return 'done'
    })
    const url = `/resource-lists/users/${IMPU}/index`
    await app.inject({ url, headers: { authorization: 'Digest username="btid"', 'x-3gpp-intended-identity': IMPU } })
    await app.close()
    const seen = lines.map((line) => JSON.parse(line)).find(({ event }) => event === 'ut.seen')
    assert.deepEqual(seen.req, { method: 'GET', id: 'r-1' })
    assert.equal(
      lines.some((line) => /alice|btid|127\.0\.0\.1/.test(line)),
      false,
    )
    assert.ok(lines.length >= 3)
    assert.notEqual(last().event, undefined)
  })

  test('shows of a reply its status only', () => {
    const { log, last } = recording()
    log.info({ res: { statusCode: 200, headers: { etag: IMPU } } }, 'ut.answered')
    assert.deepEqual(last().res, { statusCode: 200 })
  })

  test('shows of a refusal its code and the code of its cause, not its words', () => {
    const { log, lines, last } = recording()
    const cause = Object.assign(new Error(IMPU), { code: 'ECONNREFUSED' })
    log.warn({ err: new GbaError('UT_IMPU_NOT_OWNED', `${IMPU} is not owned`, { cause }) }, 'ut.refused')
    assert.deepEqual(last().err, { type: 'GbaError', code: 'UT_IMPU_NOT_OWNED', cause: 'ECONNREFUSED' })
    assert.doesNotMatch(lines.join(), /alice/)
  })

  test('shows the words of a refusal when identities may appear in clear', () => {
    const { log, lines } = recording({ identities: 'clear' })
    log.warn({ err: new GbaError('UT_IMPU_NOT_OWNED', `${IMPU} is not owned`) }, 'ut.refused')
    assert.match(lines.join(), /alice/)
  })

  test('shows a bug of ours whole', () => {
    const { log, lines } = recording()
    log.error({ err: new TypeError('undefined is not what it seems') }, 'ut.failed')
    assert.match(lines.join(), /not what it seems/)
    assert.match(lines.join(), /log\.test\.ts/)
  })

  test('shows no secret, by its type and by its name', () => {
    const { log, lines } = recording()
    const secret = new Secret(fromHex(KEY_HEX))
    log.info({ anything: secret, deep: { er: { still: secret } } }, 'a')
    for (const name of ['k', 'op', 'opc', 'ck', 'ik', 'xres', 'ks', 'ksNaf', 'ha1', 'password']) {
      log.info({ [name]: KEY_HEX, inside: { [name]: KEY_HEX } }, 'b')
    }
    log.info({ headers: { authorization: KEY_HEX }, url: KEY_HEX, some: { url: KEY_HEX } }, 'c')
    assert.equal(lines.length, 12)
    assert.doesNotMatch(lines.join(), new RegExp(`${KEY_HEX}|AAECAwQ|"0":0`))
  })
})

describe('the log without redaction', () => {
  test('writes the same line, to the same place, from the same level on', () => {
    const { log, lines } = recording({ worker: 2, level: 'warn' })
    for (const each of [log, withoutRedaction(log)]) {
      each.warn({ impu: IMPU, status: 403, nested: ['a', 'b'] }, 'ut.refused')
      each.info({}, 'ut.forwarded')
    }
    const [one, other, ...more] = lines.map((line) => line.replace(/"time":"[^"]*"/, ''))
    assert.match(String(one), /"worker":2/)
    assert.deepEqual([other, more], [one, []])
  })
})

describe('the pseudonym of an identity', () => {
  const key = new Secret(new Uint8Array(32).fill(1))
  const hashed = pseudonymiser(key, 'hashed')

  test('is twelve hex digits, the same each time and different for each identity', () => {
    assert.match(hashed(IMPU), /^[0-9a-f]{12}$/)
    assert.equal(hashed(IMPU), pseudonymiser(new Secret(new Uint8Array(32).fill(1)), 'hashed')(IMPU))
    assert.notEqual(hashed(IMPU), hashed('sip:bob@example.org'))
  })

  test('is another one under another key', () => {
    assert.notEqual(hashed(IMPU), pseudonymiser(new Secret(new Uint8Array(32).fill(2)), 'hashed')(IMPU))
  })

  test('outlives a wipe of the key it was made with', () => {
    const wiped = new Secret(new Uint8Array(32).fill(1))
    const still = pseudonymiser(wiped, 'hashed')
    wiped.wipe()
    assert.equal(still(IMPU), hashed(IMPU))
  })

  test('is the identity itself where identities may appear in clear', () => {
    assert.equal(pseudonymiser(key, 'clear')(IMPU), IMPU)
  })
})
