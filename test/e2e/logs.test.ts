import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { usimState } from '../../src/core/aka.ts'
import { fromHex, toHex } from '../../src/core/bytes.ts'
import { GbaError } from '../../src/errors.ts'
import { impuOf, LAB_DOMAIN, LAB_NAF } from '../../src/lab.ts'
import { createUe } from '../../src/ue/flow.ts'
import { memoryState, type StateStore } from '../../src/ue/state.ts'
import type { AvSource } from '../../src/zh/port.ts'
import { type Apart, type ApSide, labApart } from '../support/apart.ts'
import { testBsf } from '../support/bsf.ts'
import { handUb } from '../support/hand-ub.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { rawConnect, requestOctets } from '../support/raw-client.ts'
import { type ScriptedAs, scriptedAs } from '../support/scripted-as.ts'

// Everything that is logged at the finest level, over a flow in which much goes wrong, holds no identity and no key.
const PATH = `/resource-lists/users/${impuOf('alice')}/a-telling-name`
const FOREIGN = `/resource-lists/users/${impuOf('bob')}/a-telling-name`
const TEL = 'tel:+15550100001'

/** A text in the forms in which it could have got into a log. */
function formsOf(text: string): string[] {
  const octets = Buffer.from(text, 'latin1')
  const escaped = [...octets].map((octet) => `%${octet.toString(16).padStart(2, '0')}`).join('')
  return [
    text,
    text.toLowerCase(),
    encodeURIComponent(text),
    escaped,
    JSON.stringify(text).slice(1, -1),
    ...octetForms(octets),
  ]
}

/** Hex, base64 at each of its three alignments, and the ways in which Node prints octets. */
function octetForms(octets: Uint8Array): string[] {
  const base64 = [0, 1, 2].map((shift) => {
    const shifted = Buffer.concat([Buffer.alloc(shift), octets]).toString('base64')
    // the characters that are made of these octets alone
    return shifted.slice(Math.ceil((shift * 8) / 6), Math.floor(((octets.length + shift) * 8) / 6))
  })
  const hex = toHex(octets)
  return [
    hex,
    hex.toUpperCase(),
    hex.replace(/..(?!$)/g, '$& '),
    ...base64,
    ...base64.map((text) => text.replaceAll('+', '-').replaceAll('/', '_')),
    [...octets].join(','),
  ]
}

function assertSilent(log: string, secrets: Readonly<Record<string, string | Uint8Array>>): void {
  assert.ok(log.length > 5000, 'there is a log')
  for (const [name, secret] of Object.entries(secrets)) {
    for (const form of typeof secret === 'string' ? formsOf(secret) : octetForms(secret)) {
      assert.ok(form.length >= 8, `${name} is long enough to be told from chance`)
      const at = log.indexOf(form)
      assert.ok(at < 0, `${name} in the log: ${log.slice(Math.max(0, at - 300), at + 100)}`)
    }
  }
}

/** K and OPc of every subscriber. */
function keysOf(yaml: string): Record<string, Uint8Array> {
  const keys = [...yaml.matchAll(/(k|opc): '([0-9a-f]{32})'/g)]
  assert.ok(keys.length > 0)
  return Object.fromEntries(keys.map(([, name, digits = ''], i) => [`${name} ${i}`, fromHex(digits)]))
}

async function everythingThatGoesWrong(ue: HandUe): Promise<Record<string, string>> {
  const nonce = await ue.freshNonce()
  const get = (request: Parameters<HandUe['request']>[2] = {}) => ue.request('GET', PATH, request)
  assert.equal((await get()).status, 200)
  await get({ qop: 'auth-int' })
  await get({ nonce, nc: 1 })
  await get({ nonce, nc: 1 })
  await get({ password: 'wrong' })
  await get({ username: 'nobody-at-all@bsf.example.com' })
  await get({ username: `${Buffer.alloc(16, 5).toString('base64')}@bsf.example.com` })
  await get({ uri: FOREIGN })
  await get({ realm: 'elsewhere' })
  await get({ headers: [`X-3GPP-Intended-Identity: "${impuOf('bob')}"`] })
  await get({ headers: [`X-3GPP-Intended-Identity: "${TEL}"`] })
  await get({ headers: [`X-3GPP-Intended-Identity: ${impuOf('alice')}, ${TEL}`] })
  await get({ headers: [`X-3GPP-Asserted-Identity: "${impuOf('alice')}"`] })
  await get({ headers: ['Content-Type: text/plain', 'Content-Type: text/html'] })
  await ue.request('PUT', PATH, { body: 'x'.repeat(20_000) })
  await ue.request('PUT', PATH, { body: '<a/>', headers: ['Content-Type: none'] })
  await ue.request('PATCH', PATH)
  await ue.request('GET', FOREIGN)
  await ue.request('GET', `${PATH}/../x`)
  await ue.request('GET', `${PATH}/%zz`)
  await ue.request('GET', `${PATH}/\xff`)
  await ue.request('GET', `${PATH}/${'x'.repeat(20_000)}`)
  await ue.send(requestOctets(`GET ${PATH} HTTP/1.1`, ['Host: other.example.com']))
  await ue.send(requestOctets(`GET ${PATH} HTTP/3.1`, [`Host: ${LAB_NAF}`]))
  const cut = await rawConnect(ue.at)
  cut.write(await ue.signed('PUT', PATH, { headers: ['Content-Length: 10'] }))
  await delay(30)
  cut.close()
  return { nonce }
}

describe('with identities hashed, the log of every role in one process', () => {
  let as: ScriptedAs
  let lab: TestLab
  before(async () => {
    as = await scriptedAs((socket, { head }) => {
      const [, what] = /\/fail-(\w+)/.exec(head) ?? []
      if (what === 'reset') socket.resetAndDestroy()
      else if (what === 'garbage') socket.write(`garbage about ${impuOf('alice')}\r\n\r\n`)
      else if (what === 'status') socket.write('HTTP/1.1 999 x\r\n\r\n')
      else if (what === 'challenge') socket.write('HTTP/1.1 401 x\r\nContent-Length: 0\r\n\r\n')
      else if (what === 'middle') socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n${impuOf('alice')}`)
      else if (what !== 'silence') socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    })
    lab = await testLab({
      as: null,
      ap: {
        limits: { bodyBytes: 10_000, headersTimeoutMs: 500 },
        appServers: [{ name: 'scripted', url: as.url, timeoutMs: 200, connectTimeoutMs: 100 }],
        routes: [{ appServer: 'scripted' }],
      },
    })
  })
  after(async () => {
    await lab.close()
    await as.close()
  })

  test('holds no identity, no key, no nonce, no response and no path', async () => {
    const state = capturing()
    const ue = await handUe(lab, { ue: { state } })
    const secrets = await everythingThatGoesWrong(ue)
    for (const what of ['reset', 'garbage', 'status', 'challenge', 'silence', 'middle']) {
      for (const qop of ['auth', 'auth-int'] as const) {
        await ue.request('GET', `${PATH}/fail-${what}`, { qop }).catch(() => {})
      }
    }
    const gone = await rawConnect(ue.at)
    gone.write(await ue.signed('GET', `${PATH}/fail-silence`))
    await delay(30)
    gone.close()
    // a card that is ahead, one that is unknown, and one with the wrong key
    const sim = await lab.sim('bob')
    const sqn = Uint8Array.of(0, 0, 0x40, 0, 0, 0)
    const ahead = createUe({ ...sim, sqn }, { ca: lab.ca })
    const { btid: bobsBtid } = await ahead.bootstrap()
    ahead.close()
    for (const other of [
      { ...sim, k: sim.opc },
      { ...sim, impi: `999${sim.impi}` as typeof sim.impi },
    ]) {
      const stranger = createUe(other, { ca: lab.ca })
      await assert.rejects(stranger.bootstrap())
      stranger.close()
    }
    await delay(300)

    const codes = new Set(lab.decisions.map(({ record: { code } }) => code))
    assert.ok(codes.size > 20, [...codes].join(' '))
    assert.ok(!codes.has('INTERNAL'))
    const held = state.read().bootstrap
    assert.ok(held)
    const [rand = ''] = ue.btid.split('@')
    const [bobsRand = ''] = bobsBtid.split('@')
    assertSilent(lab.logged(), {
      IMPI: `001010000000001@${LAB_DOMAIN}`,
      'IMSI of alice': '001010000000001',
      'IMSI of bob': '001010000000002',
      'IMPU of alice': impuOf('alice'),
      'IMPU of bob': impuOf('bob'),
      'alice at home': `alice@${LAB_DOMAIN}`,
      'a number': '15550100001',
      'B-TID': ue.btid,
      'RAND of the B-TID': rand,
      'RAND of the other B-TID': bobsRand,
      'name of a document': 'a-telling-name',
      Ks: held.ks.expose(),
      RAND: held.rand,
      'Ks_NAF, as password': ue.password,
      Ks_NAF: Buffer.from(ue.password, 'base64'),
      ...secrets,
      ...keysOf(await readFile(join(lab.directory, 'subscribers.yaml'), 'utf8')),
    })
    assert.doesNotMatch(lab.logged(), /response="|Digest |"url"|"path"/)
  })
  test('and yet follows one user by a name that stays', () => {
    const records = lab
      .logged()
      .split('\n')
      .filter((line) => line.includes('"ut.forwarded"'))
      .map((line) => JSON.parse(line) as { btid: string; xui: string; impus: string[] })
    assert.ok(records.length > 2)
    assert.equal(new Set(records.map(({ btid }) => btid)).size, 1)
    assert.match(records[0]?.btid ?? '', /^[0-9a-f]{12}$/)
    assert.equal(records[0]?.xui, records[0]?.impus[0])
  })
})

describe('with identities hashed, the logs of an AP and a BSF apart', () => {
  let lab: Apart
  let ap: ApSide
  before(async () => {
    lab = await labApart()
    ap = await lab.startAp({ limits: { bodyBytes: 10_000 } })
  })
  after(() => lab.close())

  test('hold no identity, no key, no nonce, no response and no path either', async () => {
    const state = capturing()
    const ue = await handUe(ap, { ue: { state } })
    const secrets = await everythingThatGoesWrong(ue)
    const [rand = ''] = ue.btid.split('@')
    const held = state.read().bootstrap
    assert.ok(held)
    for (const log of [ap.logged(), ap.logged() + lab.bsf.logged()]) {
      assertSilent(log, {
        'IMSI of alice': '001010000000001',
        'IMPU of alice': impuOf('alice'),
        'IMPU of bob': impuOf('bob'),
        'a number': '15550100001',
        'RAND of the B-TID': rand,
        'name of a document': 'a-telling-name',
        Ks: held.ks.expose(),
        Ks_NAF: Buffer.from(ue.password, 'base64'),
        ...secrets,
        ...keysOf(await readFile(join(lab.directory, 'subscribers.yaml'), 'utf8')),
      })
    }
  })
})

test('with identities hashed, an HSS that names the subscriber in its fault does not get him into the log', async () => {
  const impi = `001010000000001@${LAB_DOMAIN}`
  const avSource: AvSource = {
    async draw() {
      throw new GbaError('ZH_HSS_UNREACHABLE', `no answer for ${impi}`, { cause: new Error(`gave up on ${impi}`) })
    },
  }
  const bsf = await testBsf({ avSource })
  try {
    assert.equal((await handUb(bsf.at, bsf.cards[0]).hello()).status, 503)
    assert.match(bsf.logged(), /"code":"ZH_HSS_UNREACHABLE"/)
    assert.doesNotMatch(bsf.logged(), /001010000000001/)
  } finally {
    await bsf.close()
  }
})

/** The state of a fresh UE, for the test to look into. */
const capturing = (): StateStore => memoryState({ usim: usimState(), nonces: new Map() })
