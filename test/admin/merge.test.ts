import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { AdminAnswer, ShownBootstrap, ShownDecision } from '../../src/admin/calls.ts'
import { mergeDone, mergeShown, type WorkerAnswer } from '../../src/admin/merge.ts'

const of = (number: number, answer: AdminAnswer): WorkerAnswer => ({ number, answer })
const silent = (number: number): WorkerAnswer => ({ number, missing: 'silent' })
const ended = (number: number): WorkerAnswer => ({ number, missing: 'ended' })
const none: AdminAnswer = { status: 404, detail: 'none' }
const good: AdminAnswer = { status: 200, body: { bsf: false, cachedKeys: 1 } }
const bootstrap = (btid: string, createdAt: string, ...nafs: string[]): ShownBootstrap => ({
  btid,
  impi: 'i',
  createdAt,
  expiresAt: 'e',
  gbaType: '3G_GBA',
  nafs,
})
const refusal = (time: string): ShownDecision => ({ time, event: 'ut.refused' })

describe('what workers show', () => {
  test('is one list of what each has seen, the latest first and each bootstrap once', () => {
    const shown = mergeShown([
      of(1, {
        status: 200,
        about: { impi: 'i' },
        body: {
          sqn: '000000000020',
          bootstraps: [bootstrap('b', '2', 'x'), bootstrap('a', '1')],
          refusals: [refusal('5'), refusal('1')],
          seenSince: '3',
        },
      }),
      of(2, {
        status: 200,
        body: {
          sqn: '000000000040',
          bootstraps: [bootstrap('b', '2', 'y', 'x'), bootstrap('c', '3')],
          refusals: [refusal('4')],
          seenSince: '4',
        },
      }),
    ])
    assert.deepEqual(shown, {
      status: 200,
      about: { impi: 'i' },
      body: {
        sqn: '000000000040',
        bootstraps: [bootstrap('c', '3'), bootstrap('b', '2', 'x', 'y'), bootstrap('a', '1')],
        refusals: [refusal('5'), refusal('4'), refusal('1')],
        seenSince: '4',
      },
      workers: { answered: [1, 2], missing: {} },
    })
  })

  test('has a hundred refusals at most', () => {
    const many = { status: 200, body: { refusals: Array.from({ length: 100 }, (_, n) => refusal(`${1000 + n}`)) } }
    const { body } = mergeShown([of(1, many), of(2, many)])
    assert.deepEqual(
      [body?.refusals?.length, body?.refusals?.[0]?.time, body?.refusals?.[99]?.time],
      [100, '1099', '1050'],
    )
  })

  test('names who is missing, and why', () => {
    const failed: AdminAnswer = { status: 503, detail: 'the store' }
    const { status, workers } = mergeShown([of(1, good), silent(2), of(3, failed), ended(4)])
    assert.deepEqual([status, workers], [200, { answered: [1], missing: { 2: 'silent', 3: 'failed', 4: 'ended' } }])
  })

  for (const [what, answers, status] of [
    ['all know nothing of', [of(1, none), of(2, none)], 404],
    ['one might know that is silent', [of(1, none), silent(2)], 504],
    ['one might know that has failed', [of(1, none), of(2, { status: 503 })], 503],
    ['nobody was asked about', [], 503],
    ['nobody was left to answer', [ended(1)], 503],
  ] as const) {
    test(`is ${status} for what ${what}`, () => assert.equal(mergeShown(answers).status, status))
  }
})

describe('what workers were told to do', () => {
  test('is done when it is in each, of those as well that had nothing to do and of one that has ended', () => {
    const { body, status, workers } = mergeDone([
      of(1, good),
      of(2, none),
      ended(3),
      of(1, none),
      of(2, good),
      of(3, none),
    ])
    assert.deepEqual([status, body], [200, { bsf: false, cachedKeys: 2 }])
    assert.deepEqual(workers, { answered: [1, 2, 3], missing: {} })
  })

  for (const [what, answers, status, missing] of [
    ['is silent', [of(1, good), silent(2)], 504, { 2: 'silent' }],
    ['was silent the first time', [of(1, good), silent(2), of(1, none), of(2, none)], 504, { 2: 'silent' }],
    ['was silent, then ended', [of(1, good), silent(2), of(1, none), ended(2)], 504, { 2: 'silent' }],
    ['could not', [of(1, good), of(2, { status: 503, detail: 'the store' })], 503, { 2: 'failed' }],
  ] as const) {
    test(`is not where one ${what}, and that one is named beside those that did it`, () => {
      const answer = mergeDone(answers)
      assert.deepEqual([answer.status, answer.body, answer.workers], [status, undefined, { answered: [1], missing }])
    })
  }

  test('is not found where nobody had it, and nothing where nobody is there', () => {
    assert.equal(mergeDone([of(1, none), of(2, none)]).status, 404)
    assert.equal(mergeDone([]).status, 503)
  })
})
