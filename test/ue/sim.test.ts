import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { toHex } from '../../src/core/bytes.ts'
import { loadSim, parseSim } from '../../src/ue/sim.ts'
import { freshState } from '../../src/ue/state.ts'
import { SET_1 } from './fake-network.ts'

const GOOD = `imsi: 001010123456789\nk: ${SET_1.k}\nopc: ${SET_1.opc}\n`

describe('a SIM file', () => {
  test('needs no more than IMSI, K and OPc', () => {
    const sim = parseSim(GOOD, 'alice.yaml')
    assert.equal(sim.impi, '001010123456789@ims.mnc001.mcc001.3gppnetwork.org')
    assert.equal(sim.bsf.host, 'bsf.mnc001.mcc001.pub.3gppnetwork.org')
    assert.deepEqual([sim.bsf.scheme, sim.bsf.port, sim.bsf.target], ['http', 80, '/'])
    assert.equal(toHex(sim.k.expose()), SET_1.k)
    assert.equal(toHex(sim.sqn), '000000000000')
    assert.equal(freshState(sim).usim.sqns.length, 32)
  })

  test('may say everything', () => {
    const sim = parseSim(
      `impi: alice@operator.com
mncDigits: 3
impus: [ "sip:alice@Operator.com", tel:+15550100123 ]
k: ${SET_1.k}
op: cdc202d5123e20f62b6d676ac72cb318
amf: b9b9
sqn: 000000000020
ind: [ "000000000040", "000000000061" ]
bsf: http://bsf.lab:8080/
connect:
  bsf.lab: 127.0.0.1:18080
  xcap.operator.com:443: "[::1]:18443"
caFile: ca/lab.pem
`,
      'sims/alice.yaml',
    )
    assert.equal(toHex(sim.opc.expose()), SET_1.opc)
    assert.deepEqual(sim.impus, ['sip:alice@operator.com', 'tel:+15550100123'])
    assert.equal(sim.bsf.origin, 'http://bsf.lab:8080')
    assert.deepEqual(sim.connect, [
      { host: 'bsf.lab', toHost: '127.0.0.1', toPort: 18080 },
      { host: 'xcap.operator.com', port: 443, toHost: '::1', toPort: 18443 },
    ])
    assert.ok(sim.caFile?.endsWith('/sims/ca/lab.pem'))
    const { sqns } = freshState(sim).usim
    assert.deepEqual(sqns.slice(0, 3).map(toHex), ['000000000040', '000000000061', '000000000020'])
  })

  test('names the BSF by the IMPI when there is one', () => {
    const sim = parseSim(`impi: alice@operator.com\n${GOOD}`, 'a.yaml')
    assert.equal(sim.bsf.host, 'bsf.operator.com')
  })

  test('reads keys and numbers of digits only as text', () => {
    const digits = '00112233445566778899001122334455'
    const sim = parseSim(`imsi: 001010123456789\nk: ${digits}\nopc: 1${'0'.repeat(29)}e1\nsqn: 000000000010`, 'a.yaml')
    assert.equal(toHex(sim.k.expose()), digits)
    assert.equal(toHex(sim.opc.expose()), `1${'0'.repeat(29)}e1`)
    assert.equal(toHex(sim.sqn), '000000000010')
  })

  const bad: [string, string, RegExp][] = [
    ['no map', '- a', /^a\.yaml:1: /],
    ['nothing', '', /^a\.yaml:1: /],
    ['broken YAML', `${GOOD}x: [`, /^a\.yaml:4: /],
    ['an unknown key', `${GOOD}nonsense: 1`, /^a\.yaml:4: nonsense/],
    ['a key misspelt', `${GOOD}impuss: []`, /^a\.yaml:4: .*impus\?/],
    ['a key twice', `${GOOD}k: ${SET_1.k}`, /^a\.yaml:4: /],
    ['K too short', GOOD.replace(SET_1.k, '465b'), /^a\.yaml:2: k: /],
    ['K that is not hex', GOOD.replace('465b', '465g'), /^a\.yaml:2: k: /],
    ['no K', GOOD.replace(/k: .*\n/, ''), /k is missing/],
    ['no OPc', GOOD.replace(/opc: .*\n/, ''), /opc/],
    ['OP and OPc', `${GOOD}op: ${SET_1.opc}`, /^a\.yaml:4: op: /],
    ['no identity', GOOD.replace(/imsi: .*\n/, ''), /impi or imsi/],
    ['an IMSI with letters', GOOD.replace('00101', '0010x'), /^a\.yaml:1: imsi: /],
    ['an IMPI without a domain', `${GOOD}impi: alice`, /^a\.yaml:4: impi: /],
    ['an IMPU that is none', `${GOOD}impus: [ alice ]`, /^a\.yaml:4: impus: /],
    ['impus that is no list', `${GOOD}impus: sip:alice@example.com`, /^a\.yaml:4: impus: /],
    ['mncDigits of 4', `${GOOD}mncDigits: 4`, /^a\.yaml:4: mncDigits: /],
    ['an SQN of 10 digits', `${GOOD}sqn: 0000000000`, /^a\.yaml:4: sqn: /],
    ['an IND list that is too long', `${GOOD}ind: [${'"000000000000",'.repeat(33)}]`, /^a\.yaml:4: ind: /],
    ['an ftp BSF', `${GOOD}bsf: ftp://bsf`, /^a\.yaml:4: bsf: /],
    ['a connect map without a port', `${GOOD}connect:\n  a.example: 127.0.0.1`, /^a\.yaml:5: connect: /],
    ['a list where a text belongs', `${GOOD}caFile: [a]`, /^a\.yaml:4: caFile: /],
  ]
  for (const [what, text, where] of bad) {
    test(`with ${what} is refused, and the message says where`, () => {
      assert.throws(
        () => parseSim(text, 'a.yaml'),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, 'SIM_MALFORMED')
          assert.match(error.message, where)
          assert.ok(!error.message.includes(SET_1.k))
          return true
        },
      )
    })
  }

  test('that is not there is named', async () => {
    await assert.rejects(loadSim('/nowhere/bob.yaml'), /^UeError: \/nowhere\/bob\.yaml/)
  })
})
