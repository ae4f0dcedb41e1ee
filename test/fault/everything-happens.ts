import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import type { App } from '../../src/app.ts'
import { parseAkaNonce } from '../../src/core/aka.ts'
import type { Secret } from '../../src/core/secret.ts'
import { LAB_NAF } from '../../src/lab.ts'
import { createUe, type Ue, type UeOptions } from '../../src/ue/flow.ts'
import { parseSim } from '../../src/ue/sim.ts'
import { challengeOf, handUb } from '../support/hand-ub.ts'
import { handUe } from '../support/hand-ue.ts'
import { rawConnect, rawExchange, requestOctets } from '../support/raw-client.ts'
import type { Card } from './subscriber-secrets.ts'
import { BSF, own, type TalkativeSite } from './talkative-site.ts'

/** What came of it. */
export interface Happened {
  /** What UEs were told. */
  readonly told: readonly string[]
  /** Requests as they were sent, right and wrong, of alice. */
  readonly asked: readonly Buffer[]
  /** Under which they were sent. */
  readonly btid: string
}

/** Everything that UEs can do right and wrong, with the parties behind failing as well. */
export async function everythingHappens(place: TalkativeSite): Promise<Happened> {
  const { site, as, zn, cards, ca, secrets } = place
  const told: string[] = []
  const asked: Buffer[] = []
  const marked = `<a>${Buffer.from(place.marker.expose()).toString('hex')}</a>`
  const ues: Ue[] = []
  const [alice, bob] = cards
  const ueOf = async ({ name, impi, k, opc }: Card, options: UeOptions = {}): Promise<Ue> => {
    const hex = (secret: Secret) => Buffer.from(secret.expose()).toString('hex')
    const connect = `connect:\n  ${BSF}: '127.0.0.1:${site.ports.ub}'\n  ${LAB_NAF}: '127.0.0.1:${site.ports.ap}'\n`
    const sim = `imsi: '${impi.split('@')[0]}'\nk: '${hex(k)}'\nopc: '${hex(opc)}'\n${connect}`
    const observer: UeOptions['observer'] = ({ response }) => {
      told.push(JSON.stringify(response.headers), Buffer.from(response.body).toString('latin1'))
    }
    const ue = createUe(parseSim(sim, name), { ca, observer, ...options })
    ues.push(ue)
    return ue
  }
  const app = { addresses: { ap: { host: '127.0.0.1', port: site.ports.ap } } } as unknown as App
  const bootstrapped = async (card: Card) => {
    const ue = await handUe({ app, ca, ue: () => ueOf(card) })
    secrets.ofChallenge(card, Buffer.from(ue.btid.split('@')[0] ?? '', 'base64'))
    secrets.ofDigest(`${card.name} (${ue.btid.slice(0, 6)})`, ue.btid, ue.password)
    const request: typeof ue.request = async (...args) => {
      const answer = await ue.request(...args)
      told.push(JSON.stringify(answer.headers), answer.body.toString('latin1'))
      return answer
    }
    return { ...ue, request }
  }

  // Ua and Ut, right and wrong.
  const ue = await bootstrapped(alice)
  for (const qop of ['auth', 'auth-int'] as const) {
    assert.equal((await ue.request('GET', own('alice'), { qop })).status, 200)
    assert.equal((await ue.request('PUT', own('alice'), { qop, body: marked })).status, 200)
    assert.equal((await ue.request('GET', own('bob'), { qop })).status, 403)
    assert.equal((await ue.request('GET', own('alice').replace('index', 'broken'), { qop })).status, 502)
    assert.equal((await ue.request('GET', own('alice').replace('index', 'asks'), { qop })).status, 403)
    assert.equal((await ue.request('GET', own('alice'), { qop, password: 'wrong' })).status, 401)
    const octets = await ue.signed('GET', own('alice'), { qop })
    asked.push(octets, await ue.signed('PUT', own('alice'), { qop, body: marked, password: 'wrong' }))
    assert.deepEqual([(await ue.send(octets)).status, (await ue.send(octets)).status], [200, 401])
  }
  assert.equal((await ue.request('GET', own('alice'), { headers: [`X: ${'x'.repeat(20_000)}`] })).status, 431)
  assert.equal((await rawExchange(ue.at, 'NONSENSE\r\n\r\n')).status, 400)
  for (const psk of [{ tls: '1.3' }, { tls: '1.2', ciphers: 'PSK-AES128-GCM-SHA256' }] as const) {
    const byKey = await ueOf(alice, { ...psk, psk: true })
    const { status } = await byKey.request('GET', `https://${LAB_NAF}${own('alice')}`)
    assert.equal(status, 200)
    const { btid } = await byKey.bootstrap()
    secrets.ofChallenge(alice, Buffer.from(btid.split('@')[0] ?? '', 'base64'))
  }

  // Ub, right and wrong.
  const ub = handUb({ port: site.ports.ub }, bob)
  const challenged = async () => {
    const challenge = challengeOf(await ub.hello())
    secrets.ofChallenge(bob, challenge.rand)
    return challenge
  }
  const good = ub.answerTo(await challenged())
  assert.deepEqual([(await ub.send(good)).status, (await ub.send(good)).status], [200, 401])
  assert.equal((await ub.send(ub.answerTo(await challenged(), { password: new Uint8Array(8) }))).status, 403)
  const behind = await challenged()
  const auts = ub.autsFor(behind, ub.sqnOf(behind) + 32_000)
  const resynchronised = await ub.send(ub.answerTo(behind, { auts, password: new Uint8Array() }))
  assert.equal(resynchronised.status, 401)
  const nonce = parseAkaNonce(/nonce="([^"]*)"/.exec(resynchronised.header('www-authenticate') ?? '')?.[1] ?? '')
  secrets.ofChallenge(bob, nonce?.rand ?? assert.fail('no challenge'))
  await rawExchange({ port: site.ports.ub }, requestOctets('GET / HTTP/1.1', ['Host: x', 'Authorization: Digest ?']))
  await challenged()

  // Zn, gone and mute; the AS, gone; the files, read again; a UE that leaves in the midst.
  const stranger = await bootstrapped(bob)
  await zn.become({ kind: 'closed' })
  assert.equal((await stranger.request('GET', own('bob'))).status, 503)
  await zn.become({ kind: 'hang' })
  assert.equal((await stranger.request('GET', own('bob'))).status, 503)
  await zn.become({ kind: 'closed' })
  await zn.become({ kind: 'pass' })
  assert.equal((await stranger.request('GET', own('bob'))).status, 200)
  for (const { pid } of [place.bsf, place.ap]) process.kill(pid, 'SIGHUP')
  const leaving = await rawConnect(ue.at)
  leaving.write((await ue.signed('PUT', own('alice'), { body: '<a/>' })).subarray(0, -2))
  leaving.close()
  await as.close()
  assert.equal((await ue.request('GET', own('alice'))).status, 502)
  for (const each of ues) each.close()
  await delay(100)

  for (const port of place.admin) {
    for (const path of ['metrics', 'ready', 'version']) {
      const answer = await (await fetch(`http://127.0.0.1:${port}/${path}`)).text()
      if (path === 'metrics') assert.match(answer, /^# TYPE gba/m)
      place.said.push(answer)
    }
  }
  return { told, asked, btid: ue.btid }
}
