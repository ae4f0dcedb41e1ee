import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { describe } from 'node:test'
import { promisify } from 'node:util'
import { akaNonce, checkAutn, generateAv, nextSqn, usimState } from '../../src/core/aka.ts'
import { fromHex, toHex } from '../../src/core/bytes.ts'
import { deriveOpc, milenage } from '../../src/core/milenage.ts'
import { peerTest } from '../support/peer.ts'
import { secret } from '../support/vectors.ts'

const run = promisify(execFile)
const random = (octets: number) => randomBytes(octets).toString('hex')
const decimal = (sqn: string) => BigInt(`0x${sqn}`).toString()

/** `osmo-auc-gen -3 -a milenage …`, its `NAME:<tab>value` lines. */
async function osmoAucGen(...options: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const { stdout } = await run('osmo-auc-gen', ['-3', '-a', 'milenage', ...options])
  return new Map([...stdout.matchAll(/^([\w. ]+):\s+(\S+)$/gm)].map(([, name = '', value = '']) => [name, value]))
}

describe('osmo-auc-gen', () => {
  peerTest('makes the same vector from 120 random K, OPc, RAND, SQN and AMF', ['osmo-auc-gen'], async () => {
    for (let i = 0; i < 120; i++) {
      const [k, opc, rand, sqn, amf] = [random(16), random(16), random(16), random(6), random(2)]
      const theirs = await osmoAucGen('-k', k, '-o', opc, '-f', amf, '-s', decimal(sqn), '-r', rand)
      const ours = generateAv(milenage(secret(k), secret(opc)), fromHex(rand), fromHex(sqn), fromHex(amf))
      const context = `k ${k} opc ${opc} rand ${rand} sqn ${sqn} amf ${amf}`
      assert.equal(toHex(ours.autn), theirs.get('AUTN'), context)
      assert.equal(toHex(ours.xres.expose()), theirs.get('RES'), context)
      assert.equal(toHex(ours.ck.expose()), theirs.get('CK'), context)
      assert.equal(toHex(ours.ik.expose()), theirs.get('IK'), context)
      assert.equal(akaNonce(ours.rand, ours.autn), theirs.get('IMS nonce'), context)
    }
  })

  peerTest('derives the same OPc from OP, and our USIM takes its challenge', ['osmo-auc-gen'], async () => {
    for (let i = 0; i < 20; i++) {
      const [k, op, rand] = [random(16), random(16), random(16)]
      const theirs = await osmoAucGen('-k', k, '-O', op, '-f', '8000', '-s', '1000', '-r', rand)
      const card = milenage(secret(k), deriveOpc(secret(k), secret(op)))
      const answer = checkAutn(card, usimState(), fromHex(rand), fromHex(theirs.get('AUTN') ?? ''))
      assert.equal(answer.outcome, 'ok')
      assert.equal(toHex(answer.res.expose()), theirs.get('RES'))
      assert.equal(Number.parseInt(toHex(answer.sqn), 16), 1000)
    }
  })

  peerTest('reads SQN_MS out of our AUTS, and our USIM takes the vector that follows', ['osmo-auc-gen'], async () => {
    for (let i = 0; i < 20; i++) {
      const [k, opc, rand, rand2] = [random(16), random(16), random(16), random(16)]
      const sqnMs = `0${random(6).slice(1)}`
      const card = milenage(secret(k), secret(opc))
      const usim = usimState(fromHex(sqnMs))
      const old = generateAv(card, fromHex(rand), fromHex(sqnMs), fromHex('0000'))
      const answer = checkAutn(card, usim, old.rand, old.autn)
      assert.equal(answer.outcome, 'resync')

      const resolved = await osmoAucGen('-k', k, '-o', opc, '-f', '0000', '-r', rand, '-A', toHex(answer.auts))
      assert.equal(resolved.get('SQN.MS'), decimal(sqnMs))

      const next = decimal(toHex(nextSqn(fromHex(sqnMs), 31)))
      const theirs = await osmoAucGen('-k', k, '-o', opc, '-f', '0000', '-s', next, '-r', rand2)
      assert.equal(checkAutn(card, usim, fromHex(rand2), fromHex(theirs.get('AUTN') ?? '')).outcome, 'ok')
    }
  })

  peerTest('refuses our AUTS with one bit changed', ['osmo-auc-gen'], async () => {
    const [k, opc, rand, sqnMs] = [random(16), random(16), random(16), random(6)]
    const card = milenage(secret(k), secret(opc))
    const old = generateAv(card, fromHex(rand), fromHex(sqnMs), fromHex('0000'))
    const answer = checkAutn(card, usimState(fromHex(sqnMs)), old.rand, old.autn)
    assert.equal(answer.outcome, 'resync')
    const forged = answer.auts.with(13, (answer.auts[13] ?? 0) ^ 1)
    await assert.rejects(osmoAucGen('-k', k, '-o', opc, '-f', '0000', '-r', rand, '-A', toHex(forged)))
  })
})
