import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type ArrivalOptions, arrivals } from '../src/ap-arrival.ts'
import type { Fqdn } from '../src/core/identity.ts'
import { Likeness } from '../src/http/likeness.ts'
import type { Connection, Naf, Passage, Route } from '../src/passage.ts'

const NAF = 'xcap.example.org' as Fqdn
const CONNECTION: Connection = { source: '192.0.2.1', serverName: NAF, suiteId: undefined }
const TARGET = '/resource-lists/users/sip:alice@example.org/index'

function stage() {
  const naf = { uaProtocolIds: [] } as unknown as Naf
  const route = {
    host: undefined,
    pathPrefix: '/',
    methods: ['GET'],
    appServer: { xcapRoot: '' },
    policy: { gsids: [] },
  } as unknown as Route
  const options: ArrivalOptions = {
    nafs: new Map([[NAF, naf]]),
    routes: [route],
    headerCount: 100,
    accessLog: undefined,
    now: () => 1,
  }
  return arrivals(options)
}

function passageOf(likeness: Likeness): Passage {
  const request = {
    id: 'x',
    method: 'GET',
    target: TARGET,
    rawHeaders: ['Host', NAF],
    host: [NAF],
    authorization: ['Digest x'],
    intendedIdentity: [],
    userAgent: '',
    announcesBody: false,
    peer: '192.0.2.1',
    likeness,
  }
  return { request }
}

function kept(): Likeness {
  const likeness = new Likeness()
  likeness.isKept = true
  return likeness
}

describe('what is found of a request', () => {
  test('is used again once its author is known, and not before', () => {
    const { arrive, keep } = stage()
    const likeness = kept()
    const first = passageOf(likeness)
    const found = arrive(first, CONNECTION)
    assert.notEqual(arrive(passageOf(likeness), CONNECTION), found)
    keep(first)
    assert.equal(arrive(passageOf(likeness), CONNECTION), found)
    assert.equal(found.isFamiliar, true)
  })

  test('is not kept of a head that nobody keeps', () => {
    const { arrive, keep } = stage()
    const first = passageOf(new Likeness())
    const found = arrive(first, CONNECTION)
    keep(first)
    assert.notEqual(arrive(passageOf(first.request.likeness ?? new Likeness()), CONNECTION), found)
  })

  test('counts on no connection that tells otherwise, and under no other rules', () => {
    const { arrive, keep } = stage()
    const likeness = kept()
    const first = passageOf(likeness)
    const found = arrive(first, CONNECTION)
    keep(first)
    assert.notEqual(arrive(passageOf(likeness), { ...CONNECTION, serverName: undefined }), found)
    const suiteId = '01000000c0' as NonNullable<Connection['suiteId']>
    assert.notEqual(arrive(passageOf(likeness), { ...CONNECTION, suiteId }), found)
    assert.notEqual(stage().arrive(passageOf(likeness), CONNECTION), found)
    assert.equal(arrive(passageOf(likeness), CONNECTION), found)
  })
})
