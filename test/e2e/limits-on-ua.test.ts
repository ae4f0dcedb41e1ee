import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, beforeEach, describe, test } from 'node:test'
import type { FaultCode } from '../../src/errors.ts'
import { impuOf } from '../../src/lab.ts'
import { doorUe, openAllDoors } from '../support/door-ue.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { type RawAnswer, rawExchange } from '../support/raw-client.ts'
import { assertRefusal } from '../support/refusals.ts'

const OWN = `/resource-lists/users/${impuOf('alice')}/index`
const WRONG = { response: '0'.repeat(32) }

describe('limits on failures on Ua', () => {
  let lab: TestLab
  let ue: HandUe
  let offsetMs = 0
  before(async () => {
    lab = await testLab({
      recording: true,
      now: () => Date.now() + offsetMs,
      ap: { limits: { failures: { trustedSources: [], perSource: { burst: 30, perMinute: 30 } } } },
    })
    ue = await handUe(lab)
  })
  // every debt is paid
  beforeEach(() => {
    offsetMs += 120_000
  })
  after(() => lab.close())

  const asked = () => lab.app.audit.count('zn.fetched')
  const from = async (address: string, signed: Promise<Buffer>): Promise<RawAnswer> =>
    rawExchange({ ...ue.at, from: address }, await signed)
  const invented = () =>
    ue.signed('GET', OWN, { username: `${randomBytes(16).toString('base64')}@bsf.mnc001.mcc001.pub.3gppnetwork.org` })

  function assertTooMany(answer: RawAnswer): number {
    assertRefusal(lab, answer, { status: 429, code: 'UA_TOO_MANY_FAILURES' })
    assert.match(answer.header('retry-after') ?? '', /^[1-9]\d*$/)
    return Number(answer.header('retry-after')) * 1000
  }

  test('who guesses responses for a B-TID is held back; its UE, elsewhere, is not', async () => {
    for (let n = 0; n < 10; n++) {
      const answer = await from('127.0.0.2', ue.signed('GET', OWN, WRONG))
      assertRefusal(lab, answer, { status: 401, code: 'UA_RESPONSE_WRONG' })
    }
    const [before, seen] = [asked(), lab.seen.length]
    for (let n = 0; n < 10; n++) assertTooMany(await from('127.0.0.2', ue.signed('GET', OWN, WRONG)))
    // a right one would be refused there, too, as nobody looks at it
    assertTooMany(await from('127.0.0.2', ue.signed('GET', OWN)))
    assert.deepEqual([asked(), lab.seen.length], [before, seen])
    assert.equal((await ue.request('GET', OWN)).status, 200)
  })

  test('after Retry-After a right response gets in', async () => {
    for (let n = 0; n < 10; n++) await from('127.0.0.3', ue.signed('GET', OWN, WRONG))
    const waitMs = assertTooMany(await from('127.0.0.3', ue.signed('GET', OWN)))
    offsetMs += waitMs - 1_500
    assertTooMany(await from('127.0.0.3', ue.signed('GET', OWN)))
    offsetMs += 1_500
    assert.equal((await from('127.0.0.3', ue.signed('GET', OWN))).status, 200)
  })

  test('who invents B-TIDs is held back before the BSF is asked; a UE beside it that has proved itself is not', async () => {
    assert.equal((await from('127.0.0.4', ue.signed('GET', OWN))).status, 200)
    let before = asked()
    for (let n = 0; n < 30; n++) {
      assertRefusal(lab, await from('127.0.0.4', invented()), { status: 401, code: 'ZN_BTID_UNKNOWN' })
    }
    assert.ok(asked() >= before + 30)
    before = asked()
    for (let n = 0; n < 20; n++) assertTooMany(await from('127.0.0.4', invented()))
    assert.equal(asked(), before)
    assert.equal((await from('127.0.0.4', ue.signed('GET', OWN))).status, 200)
    assertRefusal(lab, await from('127.0.0.5', invented()), { status: 401, code: 'ZN_BTID_UNKNOWN' })
  })

  test('a source that is held back still gets its challenge: that costs nothing', async () => {
    for (let n = 0; n < 31; n++) await from('127.0.0.6', invented())
    assertTooMany(await from('127.0.0.6', invented()))
    const plain = Buffer.from((await ue.signed('GET', OWN)).toString('latin1').replace(/Authorization: .*\r\n/, ''))
    const answer = await from('127.0.0.6', Promise.resolve(plain))
    assertRefusal(lab, answer, { status: 401, code: 'UA_CREDENTIALS_MISSING' })
  })
})

test('passwords are guessed no oftener than the limit says, of names that are there and of others alike', async () => {
  const lab = await testLab({
    recording: true,
    prepare: openAllDoors,
    ap: { limits: { failures: { trustedSources: ['127.0.0.9'] } } },
  })
  try {
    const alice = await doorUe(lab, 'password')
    assert.equal((await alice.request('GET', OWN)).status, 200)
    for (const [username, code] of [
      ['alice@example.org', 'UA_RESPONSE_WRONG'],
      ['mallory@example.org', 'UA_USERNAME_UNKNOWN'],
    ] as const) {
      const codes: (FaultCode | undefined)[] = []
      // ten from each place, until the username has had its fifty
      for (let n = 0; n < 80; n++) {
        const from = n < 60 ? `127.0.0.${10 + Math.floor(n / 12)}` : '127.0.0.9'
        await rawExchange({ ...alice.at, from }, await alice.signed('GET', OWN, { username, password: 'guessed' }))
        codes.push(lab.decisions.findLast(({ event }) => event === 'ut.refused')?.record.code)
      }
      const looked = codes.filter((each) => each === code).length
      assert.ok(looked >= 50 && looked <= 52, `${looked}`)
      assert.deepEqual([...new Set(codes)].sort(), [code, 'UA_TOO_MANY_FAILURES'].sort())
    }
    // she has got in from there before
    assert.equal((await alice.request('GET', OWN)).status, 200)
  } finally {
    await lab.close()
  }
})

test('behind a trusted source, B-TIDs are not held back for what others fail with', async () => {
  const lab = await testLab({ recording: true })
  try {
    const ue = await handUe(lab)
    for (let n = 0; n < 40; n++) assert.equal((await ue.request('GET', OWN, WRONG)).status, 401)
    assert.equal((await ue.request('GET', OWN)).status, 200)
  } finally {
    await lab.close()
  }
})
