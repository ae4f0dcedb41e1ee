import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Fqdn } from '../../src/core/identity.ts'
import { GbaError } from '../../src/errors.ts'
import type { Authenticator } from '../../src/ua/authenticate.ts'
import { DOORS, type DoorName, doorFor } from '../../src/ua/door.ts'
import { type DoorPolicy, type DoorsOfListener, doorsOf, type Knock } from '../../src/ua/doors.ts'

const NAF = 'xcap.example.org' as Fqdn
const policy: DoorPolicy = {
  doors: ['psk', 'certificate', 'digest', 'password'],
  gsids: [3],
  services: [3],
  challenge: { algorithms: ['MD5'], qop: ['auth'], methods: ['gba-me'], realms: 'joined', lines: 'separate' },
}
const named = (door: string) =>
  ({
    enter: async () => door,
    challenge: (_naf: Fqdn, _policy: unknown, ...more: unknown[]) => [`${door} ${more.at(-1)}`],
  }) as unknown
const listener = (changes: Partial<Record<DoorName, undefined>> = {}, requireToken = false) =>
  doorsOf({
    digest: named('digest') as Authenticator,
    psk: named('psk') as NonNullable<DoorsOfListener['psk']>,
    certificate: named('certificate') as NonNullable<DoorsOfListener['certificate']>,
    password: named('password') as NonNullable<DoorsOfListener['password']>,
    requireToken,
    ...changes,
  } as DoorsOfListener)

const PSK = { psk: {} as NonNullable<Knock['psk']> }
const CERTIFICATE = { certificate: {} as Exclude<Knock['certificate'], 'refused' | undefined> }
const signed = (realm: string) =>
  `Digest username="u", realm="${realm}", nonce="n", uri="/", qop=auth, nc=00000001, cnonce="c", response="${'0'.repeat(32)}"`
const knock = (brings: Partial<Knock> = {}, authorization: readonly string[] = [], tokens: string[] = []): Knock => ({
  request: { method: 'GET', target: '/', nafFqdn: NAF, authorization },
  tokens: new Set(tokens),
  uaProtocolIds: [],
  psk: undefined,
  certificate: undefined,
  ...brings,
})
const GBA = [signed(`3GPP-bootstrapping@${NAF}`)]
const PASSWORD = [signed(NAF)]

describe('the door', () => {
  test('is the first of the route to which the request brings anything', () => {
    const brought = [
      [knock(PSK), 'psk'],
      [knock(CERTIFICATE), 'certificate'],
      [knock({ certificate: 'refused' }), 'certificate'],
      [knock({}, GBA), 'digest'],
      [knock({}, PASSWORD), 'password'],
      [knock({}, ['Basic dTpw']), 'digest'],
      [knock({ ...PSK, ...CERTIFICATE }, GBA), 'psk'],
      [knock(CERTIFICATE, PASSWORD), 'certificate'],
    ] as const
    for (const [each, door] of brought) assert.equal(listener().choose(each, policy), door)
    const digestFirst = { ...policy, doors: ['digest', 'certificate'] as const }
    assert.equal(listener().choose(knock(CERTIFICATE, GBA), digestFirst), 'digest')
    assert.equal(listener().choose(knock(CERTIFICATE), digestFirst), 'certificate')
  })

  test('is never one that the route or the listener has closed, whatever is brought', () => {
    const doors = fc.uniqueArray(fc.constantFrom(...DOORS), { minLength: 1 })
    const evidence = fc.record({
      psk: fc.constantFrom(undefined, PSK.psk),
      certificate: fc.constantFrom(undefined, 'refused' as const, CERTIFICATE.certificate),
    })
    const authorization = fc.constantFrom([], GBA, PASSWORD, ['Basic x'])
    const missing = fc.subarray(['psk', 'certificate', 'password'] as const)
    fc.assert(
      fc.property(doors, evidence, authorization, missing, (open, brings, lines, lacks) => {
        const here = listener(Object.fromEntries(lacks.map((door) => [door, undefined])))
        try {
          const door = here.choose(knock(brings, lines), { ...policy, doors: open })
          assert.ok(open.includes(door) && !(lacks as readonly string[]).includes(door))
        } catch (error) {
          assert.ok(error instanceof GbaError, String(error))
          assert.ok(['UA_CREDENTIALS_MISSING', 'UA_DOOR_CLOSED'].includes(error.code))
        }
      }),
    )
  })

  test('does not change when something is brought to a door behind it', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...DOORS], { minLength: 2 }), fc.subarray([...DOORS]), (open, brought) => {
        const first = doorFor(open, new Set(brought))
        const behind = first === undefined ? [] : open.slice(open.indexOf(first) + 1)
        assert.equal(doorFor(open, new Set([...brought, ...behind])), first)
      }),
    )
  })

  const refuses = (code: string, doors: readonly DoorName[], each: Knock, at = listener()) =>
    assert.throws(
      () => at.choose(each, { ...policy, doors }),
      (error) => error instanceof GbaError && error.code === code,
    )

  test('is asked for with a challenge where a Digest would open one, and else refused', () => {
    refuses('UA_CREDENTIALS_MISSING', ['psk', 'digest'], knock())
    refuses('UA_CREDENTIALS_MISSING', ['password'], knock())
    refuses('UA_CREDENTIALS_MISSING', ['digest'], knock(PSK))
    refuses('UA_DOOR_CLOSED', ['psk', 'certificate'], knock())
    refuses('UA_DOOR_CLOSED', ['psk'], knock({}, GBA))
    refuses('UA_DOOR_CLOSED', ['certificate'], knock(PSK))
    refuses('UA_DOOR_CLOSED', ['password'], knock(), listener({ password: undefined }))
  })

  test('wants the GBA token first where that is required, unless a password would do', () => {
    const strict = listener({}, true)
    refuses('UA_TOKEN_MISSING', ['digest'], knock(), strict)
    refuses('UA_CREDENTIALS_MISSING', ['digest'], knock({}, [], ['3gpp-gba']), strict)
    refuses('UA_CREDENTIALS_MISSING', ['digest', 'password'], knock(), strict)
    assert.equal(strict.choose(knock(PSK), policy), 'psk')
  })
})

describe('a challenge', () => {
  const challenge = (
    doors: readonly DoorName[],
    through: DoorName | undefined,
    {
      tokens = [],
      stale = false,
      at = listener(),
    }: {
      tokens?: string[]
      stale?: boolean
      at?: typeof listener extends (...more: never[]) => infer Doors ? Doors : never
    } = {},
  ) => at.challenge(NAF, { ...policy, doors }, new Set(tokens), { through, stale })

  test('names each Digest that the route takes, in its order', () => {
    assert.deepEqual(challenge(['password', 'digest'], undefined), ['password false', 'digest false'])
    assert.deepEqual(challenge(['digest'], undefined), ['digest false'])
    assert.deepEqual(challenge(['psk', 'password'], undefined), ['password false'])
  })

  test('is the one for bootstrapped keys alone for a UE that says it knows GBA, where the route takes them', () => {
    const tokens = ['3gpp-gba']
    assert.deepEqual(challenge(['digest', 'password'], undefined, { tokens }), ['digest false'])
    assert.deepEqual(challenge(['password'], undefined, { tokens }), ['password false'])
    assert.deepEqual(challenge(['digest', 'password'], 'password', { tokens }), ['digest false', 'password false'])
  })

  test('is stale for the door that found it so', () => {
    const both = ['digest', 'password'] as const
    assert.deepEqual(challenge(both, 'digest', { stale: true }), ['digest true', 'password false'])
    assert.deepEqual(challenge(both, 'password', { stale: true }), ['digest false', 'password true'])
  })

  test('means renegotiation on a connection by shared key, also where Digest is closed', () => {
    assert.deepEqual(challenge(['psk'], 'psk'), ['digest false'])
  })
})
