import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Fqdn } from '../../src/core/identity.ts'
import { type FaultCode, GbaError } from '../../src/errors.ts'
import { addressedNaf } from '../../src/ua/addressed-naf.ts'

const XCAP = 'xcap.example.org' as Fqdn
const LISTS = 'lists.example.org' as Fqdn
const KELVIN = 'kelvin.example.org' as Fqdn
const nafs = new Map([
  [XCAP, 'the first NAF'],
  [LISTS, 'the second NAF'],
  [KELVIN, 'the third NAF'],
])

describe('a UE addresses', () => {
  for (const [what, sni, host, expected] of [
    ['the NAF that SNI and Host name', XCAP, XCAP, XCAP],
    ['each of several NAFs by its name', LISTS, LISTS, LISTS],
    ['a NAF by Host alone, where the UE sent no SNI', undefined, XCAP, XCAP],
    ['a NAF with any port in Host', XCAP, `${XCAP}:8443`, XCAP],
    ['a NAF in any letter case', 'XCAP.Example.ORG', 'xcap.EXAMPLE.org', XCAP],
  ] as const) {
    test(what, () => assert.deepEqual(addressedNaf(sni, [host], nafs), { nafFqdn: expected, naf: nafs.get(expected) }))
  }
})

describe('a UE is refused', () => {
  const cases: readonly [why: string, sni: string | undefined, hosts: readonly string[], code: FaultCode][] = [
    ['without Host', XCAP, [], 'UT_REQUEST_MALFORMED'],
    ['with two Host lines', XCAP, [XCAP, XCAP], 'UT_REQUEST_MALFORMED'],
    ['with SNI of one NAF and Host of another', XCAP, [LISTS], 'UA_SNI_MISMATCH'],
    ['with an SNI that is no name', '192.0.2.1 ', [XCAP], 'UA_SNI_MISMATCH'],
    ['with an empty SNI', '', [XCAP], 'UA_SNI_MISMATCH'],
    ['with an SNI that Host only begins with', 'xcap.example.or', [XCAP], 'UA_SNI_MISMATCH'],
    ['at a name that is no NAF of ours', 'www.example.org', ['www.example.org'], 'UA_NAF_UNKNOWN'],
    ['at a name below a NAF of ours', undefined, [`a.${XCAP}`], 'UA_NAF_UNKNOWN'],
    ['at an address', undefined, ['192.0.2.1:8443'], 'UA_NAF_UNKNOWN'],
    ['with an empty Host', XCAP, [''], 'UA_NAF_UNKNOWN'],
    ['with a port that is none', undefined, [`${XCAP}:http`], 'UA_NAF_UNKNOWN'],
    ['with an empty port', undefined, [`${XCAP}:`], 'UA_NAF_UNKNOWN'],
    ['with two ports', undefined, [`${XCAP}:1:2`], 'UA_NAF_UNKNOWN'],
    ['with user information in Host', undefined, [`alice@${XCAP}`], 'UA_NAF_UNKNOWN'],
    ['with two names in one Host', undefined, [`${XCAP}, ${LISTS}`], 'UA_NAF_UNKNOWN'],
    ['with a path in Host', undefined, [`${XCAP}/`], 'UA_NAF_UNKNOWN'],
    ['with a trailing dot', undefined, [`${XCAP}.`], 'UA_NAF_UNKNOWN'],
    [
      'with a letter that only becomes ours in lower case',
      undefined,
      [KELVIN.replace('k', '\u212a')],
      'UA_NAF_UNKNOWN',
    ],
  ]
  for (const [why, sni, hosts, code] of cases) {
    test(`${why}: ${code}`, () =>
      assert.throws(
        () => addressedNaf(sni, hosts, nafs),
        (error) => error instanceof GbaError && error.code === code,
      ))
  }
})
