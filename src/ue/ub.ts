import { checkAutn, parseAkaNonce } from '../core/aka.ts'
import { parseBootstrappingInfo } from '../core/bootstrapping-info.ts'
import { type EpochMs, toBase64, toHex } from '../core/bytes.ts'
import { akav2Password } from '../core/digest.ts'
import { type DigestChallenge, parseChallenges } from '../core/digest-header.ts'
import { parseFqdn, type Tmpi } from '../core/identity.ts'
import { deriveKs, deriveTmpi } from '../core/kdf.ts'
import { milenage } from '../core/milenage.ts'
import type { Secret } from '../core/secret.ts'
import { type Answer, answerChallenge, checkProof } from './answer.ts'
import { UeError } from './fault.ts'
import { type HeaderList, hasToken, headerValues, type Sent, type UeObserver } from './message.ts'
import type { UeProfile } from './profile.ts'
import type { Sim } from './sim.ts'
import type { HeldBootstrap, StateStore } from './state.ts'
import type { Transport } from './transport.ts'
import type { UeUrl } from './url.ts'

/** What one bootstrapping run works with. */
export interface UbContext {
  readonly sim: Sim
  readonly bsf: UeUrl
  readonly transport: Transport
  readonly state: StateStore
  readonly profile: UeProfile
  readonly observer: UeObserver
  readonly now: () => EpochMs
  readonly randomBytes: (length: number) => Uint8Array
  readonly signal?: AbortSignal | undefined
}

/**
 * One bootstrapping run; the result is in the state when this resolves. A TMPI that the BSF does not know gives way to
 * the IMPI once, a sequence number out of range is resynchronised once.
 * @throws UeError BOOTSTRAP_REFUSED, AUTN_MAC_WRONG, RSPAUTH_WRONG, BSF_ANSWER_MALFORMED, and what the transport throws
 * @see 3GPP TS 24.109 clause 4.2 (Rel-17)
 */
export async function bootstrap(context: UbContext): Promise<HeldBootstrap> {
  const { sim, state } = context
  const { tmpi } = state.read()
  const first = await hello(context, tmpi ?? sim.impi)
  if (!tmpi || first.response.status === 401) return run(context, tmpi ?? sim.impi, first)
  tell(context, first, `the BSF does not know the TMPI (${first.response.status}): the IMPI goes out instead`)
  state.update(({ tmpi: _, ...rest }) => rest)
  return run(context, sim.impi, await hello(context, sim.impi))
}

async function run(context: UbContext, username: string, first: Sent): Promise<HeldBootstrap> {
  let last = first
  let resynchronised = false
  for (;;) {
    const challenge = akaChallenge(context, last)
    const nonce = parseAkaNonce(challenge.nonce)
    if (!nonce) throw malformed(context, last, 'the nonce holds no RAND and AUTN')
    const aka = authenticate(context, nonce.rand, nonce.autn)
    const answer = (password: Uint8Array, auts?: string) =>
      answerChallenge({
        challenge,
        qop: 'auth-int',
        username,
        password,
        nc: '00000001',
        cnonce: toHex(context.randomBytes(16)),
        method: 'GET',
        uri: context.bsf.target,
        body: new Uint8Array(),
        ...(auts !== undefined && { auts }),
      })
    if (aka.outcome === 'mac-failure') {
      tell(context, last, 'challenge; MAC in AUTN is wrong: this network does not know K')
      tell(context, await refuseNetwork(context, username, challenge), 'the failure is reported')
      throw new UeError('AUTN_MAC_WRONG', 'MAC in AUTN is wrong: K, OPc or the network is not the right one')
    }
    if (aka.outcome === 'resync') {
      tell(context, last, 'challenge; SQN is out of range: AUTS follows')
      if (resynchronised) throw new UeError('BOOTSTRAP_REFUSED', 'SQN is still out of range after a resynchronisation')
      resynchronised = true
      last = await send(context, answer(new Uint8Array(), toBase64(aka.auts)))
      continue
    }
    tell(context, last, 'challenge; AUTN verified')
    const ours = answer(challenge.algorithm === 'AKAv2-MD5' ? akav2Password(aka.res, aka.ik, aka.ck) : aka.res.expose())
    return accept(context, ours, await send(context, ours), nonce.rand, deriveKs(aka.ck, aka.ik))
  }
}

/** SQN_MS moves in the stored state before RES leaves the UE, as on a card. */
function authenticate({ sim, state }: UbContext, rand: Uint8Array, autn: Uint8Array) {
  const algorithm = milenage(sim.k, sim.opc)
  let result: ReturnType<typeof checkAutn> | undefined
  state.update((held) => {
    result = checkAutn(algorithm, held.usim, rand, autn)
    return result.outcome === 'ok' ? { ...held, usim: result.usim } : held
  })
  return result ?? checkAutn(algorithm, state.read().usim, rand, autn)
}

/** The 200: proof first, then its content. */
function accept(context: UbContext, answer: Answer, sent: Sent, rand: Uint8Array, ks: Secret): HeldBootstrap {
  const { status, headers, body } = sent.response
  if (status !== 200) {
    tell(context, sent, 'refused')
    throw new UeError('BOOTSTRAP_REFUSED', `the BSF answered RES with ${status}`)
  }
  const { outcome } = checkProof(answer, headers, body)
  if (outcome !== 'verified') {
    tell(context, sent, `rspauth is ${outcome}: nothing of this is believed`)
    throw new UeError('RSPAUTH_WRONG', `rspauth of the BSF is ${outcome}`)
  }
  const info = parseBootstrappingInfo(Buffer.from(body).toString('utf8'))
  const [id, domain] = info?.btid.split('@') ?? []
  const fqdn = parseFqdn(domain ?? '')
  if (!info || id !== toBase64(rand) || !fqdn) throw malformed(context, sent, 'no BootstrappingInfo for this challenge')
  // A BSF that tells its own time spares the UE a clock that is right.
  const drift = info.currentTime === undefined ? 0 : context.now() - info.currentTime
  const held: HeldBootstrap = { btid: info.btid, rand, ks, expiresAt: info.expiresAt + drift }
  const tmpi: Tmpi | undefined = hasToken(headers, 'server', '3gpp-gba-tmpi')
    ? deriveTmpi(ks, rand, context.sim.impi, fqdn)
    : undefined
  context.state.update(({ usim, nonces }) => ({ usim, bootstrap: held, ...(tmpi && { tmpi }), nonces }))
  tell(context, sent, `rspauth verified: bootstrapped as ${info.btid}`)
  return held
}

/** @throws UeError BOOTSTRAP_REFUSED on another status, BSF_ANSWER_MALFORMED without a challenge for AKA and auth-int */
function akaChallenge(context: UbContext, sent: Sent): DigestChallenge {
  const { status, headers } = sent.response
  if (status !== 401) {
    tell(context, sent, 'refused')
    throw new UeError('BOOTSTRAP_REFUSED', `the BSF answered ${status}`)
  }
  const challenge = parseChallenges(headerValues(headers, 'www-authenticate')).find(
    ({ algorithm, qop }) => algorithm?.startsWith('AKA') && qop.includes('auth-int'),
  )
  return challenge ?? refuse(malformed(context, sent, 'no challenge with an AKA algorithm and qop auth-int'))
}

const hello = (context: UbContext, username: string): Promise<Sent> =>
  sendCredentials(context, { username, realm: context.bsf.host, nonce: '', uri: context.bsf.target, response: '' })

/**
 * Reading: TS 24.109 leaves the content of this report open; as on IMS registration it is an empty response to the
 * challenge, without AUTS.
 */
function refuseNetwork(context: UbContext, username: string, challenge: DigestChallenge): Promise<Sent> {
  const { realm, nonce, opaque, algorithm } = challenge
  const echo = { ...(opaque !== undefined && { opaque }), ...(algorithm && { algorithm }) }
  return sendCredentials(context, { username, realm, nonce, uri: context.bsf.target, response: '', ...echo })
}

const send = (context: UbContext, answer: Answer): Promise<Sent> => sendCredentials(context, answer.credentials)

function sendCredentials(context: UbContext, credentials: Answer['credentials']): Promise<Sent> {
  const { bsf, profile, transport, now, signal } = context
  const headers: HeaderList = [
    ['Host', bsf.authority],
    ['User-Agent', `${profile.userAgent} 3gpp-gba-tmpi`],
    ['Date', new Date(now()).toUTCString()],
    ['Accept', '*/*'],
    ['Authorization', profile.formatAuthorization(credentials)],
  ]
  return transport.send({ url: bsf, method: 'GET', body: new Uint8Array(), headers: () => headers, signal })
}

function tell({ observer, bsf, now }: UbContext, sent: Sent, note: string): void {
  observer({ from: 'UE', to: 'BSF', interface: 'Ub', host: bsf.host, at: now(), ...sent, note })
}

function malformed(context: UbContext, sent: Sent, what: string): UeError {
  tell(context, sent, what)
  return new UeError('BSF_ANSWER_MALFORMED', what)
}

function refuse(error: UeError): never {
  throw error
}
