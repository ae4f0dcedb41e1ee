import assert from 'node:assert/strict'
import { after, before, describe } from 'node:test'
import type { FaultCode } from '../../src/errors.ts'
import { impuOf } from '../../src/lab.ts'
import { doorUe, openAllDoors, WAYS, type Way } from './door-ue.ts'
import type { HandRequest, HandUe } from './hand-ue.ts'
import { type Recorded, type TestLab, type TestLabOptions, testLab } from './lab.ts'
import { problemIdOf } from './refusals.ts'

export const ALICE = impuOf('alice')
export const BOB = impuOf('bob')
export const treeOf = (xui: string, auid = 'resource-lists') => `/${auid}/users/${xui}/index`

/** A lab with alice, who has a key and would like to be bob. */
export interface Attacked {
  readonly lab: TestLab
  /** How alice comes in. */
  readonly way: Way
  /** Whether each request carries a Digest. */
  readonly signs: boolean
  readonly alice: HandUe
  /** Refused with one of these codes, and nothing of it reached the application server. */
  refuses(codes: readonly FaultCode[], method: string, target: string, request?: HandRequest): Promise<void>
  /** As `refuses`, for octets that are no request of `HandUe`. */
  refusesOctets(codes: readonly FaultCode[], octets: Uint8Array): Promise<void>
  /** As `letsThroughAsAlice`, for octets of its own. */
  letsThroughOctetsAsAlice(method: string, target: string, octets: Uint8Array): Promise<Recorded>
  /** Came through, and the application server saw alice, in one header, and no trace of bob. @returns what it saw */
  letsThroughAsAlice(method: string, target: string, request?: HandRequest): Promise<Recorded>
}

/** The same attacks, whichever of the doors alice came in by: a `describe` for each, with a lab of its own. */
export function throughEveryDoor(
  name: string,
  attacks: (attack: Attacked) => void,
  options: TestLabOptions = {},
): void {
  for (const way of WAYS) describe(`${name}, by ${way}`, () => attacks(attacked(way, options)))
}

/** The lab starts before the tests of a `describe` and ends after them. */
function attacked(way: Way, options: TestLabOptions): Attacked {
  let lab: TestLab | undefined
  let alice: HandUe | undefined
  const ready = () => ({ lab: lab ?? assert.fail('no lab yet'), alice: alice ?? assert.fail('no UE yet') })
  before(async () => {
    lab = await testLab({ recording: true, prepare: openAllDoors, ...options })
    alice = await doorUe(lab, way)
    await attack.letsThroughAsAlice('GET', treeOf(ALICE))
  })
  after(async () => {
    await lab?.close()
    assert.ok(!lab?.decisions.some(({ record }) => record.code === 'INTERNAL'))
  })

  const attack: Attacked = {
    way,
    signs: way === 'digest' || way === 'password',
    get lab() {
      return ready().lab
    },
    get alice() {
      return ready().alice
    },
    refuses: async (codes, method, target, request) =>
      attack.refusesOctets(codes, await ready().alice.signed(method, target, request)),
    async refusesOctets(codes, octets) {
      const from = ready().lab.seen.length
      const answer = await ready().alice.send(octets)
      const shown = octets.toString().slice(0, 300)
      assert.ok(answer.status >= 400, `${answer.status}: ${shown}`)
      assert.equal(ready().lab.seen.length, from, `reached the application server: ${shown}`)
      const id = problemIdOf(answer)
      const [refusal, ...more] = ready().lab.decisions.filter(({ record }) => record.requestId === id)
      assert.deepEqual(more, [])
      assert.ok(
        codes.some((code) => code === refusal?.record.code),
        `${refusal?.record.code}: ${shown}`,
      )
    },
    letsThroughAsAlice: async (method, target, request) =>
      attack.letsThroughOctetsAsAlice(method, target, await ready().alice.signed(method, target, request)),
    async letsThroughOctetsAsAlice(method, target, octets) {
      const from = ready().lab.seen.length
      const answer = await ready().alice.send(octets, method)
      assert.equal(answer.status, 200, `${method} ${target}`)
      const [saw, ...more] = ready().lab.seen.slice(from)
      assert.ok(saw && more.length === 0, 'the application server saw one request')
      const { rawHeaders } = saw
      const pairs = rawHeaders.flatMap((name, i) => (i % 2 ? [] : [[name.toLowerCase(), rawHeaders[i + 1] ?? '']]))
      const telling = pairs.filter(([name = '']) => TELLING.test(name.replace(/[^a-z0-9]/g, '')))
      assert.deepEqual(telling, [
        ['x-3gpp-asserted-identity', `"${ALICE}"`],
        ['x-3gpp-authorization-flags', '"1"'],
      ])
      assert.doesNotMatch([saw.target, ...rawHeaders].join('\n'), /bob|15550100002/i)
      assert.equal(saw.target, target)
      return saw
    },
  }
  return attack
}

/** Names, folded, that tell an identity or could be taken to. */
const TELLING = /identity|authori[sz]ation|3gpp|xcap|remoteuser|msisdn|imsi|forwarded/
