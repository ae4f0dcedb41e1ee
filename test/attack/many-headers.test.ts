import { test } from 'node:test'
import { ALICE, BOB, throughEveryDoor, treeOf } from '../support/attacked.ts'

// Some programs drop, in silence, the headers behind a certain one: Node once did so behind the 2,000th.
const fillers = (count: number) => Array.from({ length: count }, (_, i) => `a${i % 10}:b`)
const ASSERTED = `X-3GPP-Asserted-Identity: "${BOB}"`
const INTENDED = `X-3GPP-Intended-Identity: "${BOB}"`

throughEveryDoor(
  'more headers than anybody counts',
  (attack) => {
    const own = treeOf(ALICE)

    for (const count of [500, 900, 996, 1000, 1500, 1996, 1997, 1998, 1999, 2000, 2001, 5000]) {
      test(`${count} of them, and an identity behind: refused`, async () => {
        for (const last of [ASSERTED, INTENDED]) {
          await attack.refuses(['UT_HEADERS_TOO_LARGE'], 'GET', own, { headers: [...fillers(count), last] })
          await attack.refuses(['UT_HEADERS_TOO_LARGE'], 'GET', own, { headers: [last, ...fillers(count)] })
        }
      })
    }
    test('2,001 of them and nothing else: refused', () =>
      attack.refuses(['UT_HEADERS_TOO_LARGE'], 'GET', own, { headers: fillers(2001) }))
    test('2,001 of them before the credentials: refused', async () => {
      const [line = '', ...rest] = (await attack.alice.signed('GET', own)).toString('latin1').split('\r\n')
      await attack.refusesOctets(['UT_HEADERS_TOO_LARGE'], Buffer.from([line, ...fillers(2001), ...rest].join('\r\n')))
    })
    test('as many as are allowed: every one of them is looked at', async () => {
      await attack.refuses(['UT_IDENTITY_HEADER_FORBIDDEN'], 'GET', own, { headers: [...fillers(490), ASSERTED] })
      await attack.refuses(['UT_IMPU_NOT_OWNED'], 'GET', own, { headers: [...fillers(490), INTENDED] })
      await attack.letsThroughAsAlice('GET', own, { headers: fillers(490) })
    })
  },
  { ap: { limits: { headerCount: 500, headerBytes: 100_000 } } },
)
