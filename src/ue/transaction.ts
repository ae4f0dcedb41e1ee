import { toBase64, utf8 } from '../core/bytes.ts'
import type { DigestChallenge } from '../core/digest-header.ts'
import type { Btid } from '../core/identity.ts'
import { type Answer, answerChallenge, checkProof } from './answer.ts'
import { UeError } from './fault.ts'
import type { HeaderList, Sent, UeConnection } from './message.ts'
import type { HeldNonce, UeState } from './state.ts'
import type { Outgoing } from './transport.ts'
import { chooseQop, gbaChallenge } from './ua.ts'
import {
  requestOf,
  respond,
  tell,
  type UaContext,
  type UaRequest,
  type UeRequestOptions,
  type UeResponse,
} from './ua-request.ts'

/** Unprotected, protected, after a bootstrap, and a stale nonce here and there: more is a loop. */
const MAX_ROUNDS = 5

/**
 * One transaction on Ua: sends the request, protected when key and nonce are at hand, and answers 401s. A stale nonce
 * costs another round; any other 401 on a protected request asks for a new bootstrap, of which there is one at most.
 * Profiles differ in when they bootstrap and when they give up.
 * @throws UeError; a status is none
 * @see 3GPP TS 24.109 clause 5.2 (Rel-17)
 */
export async function transact(
  context: UaContext,
  method: string,
  urlText: string,
  options: UeRequestOptions,
): Promise<UeResponse> {
  const { profile, transport } = context
  const request = requestOf(profile, method, urlText, options)
  const { url } = request
  const { signal } = options
  let bootstrapped = false
  let asked = false
  let withheld = profile.withholdsBody && request.body.length > 0 && !request.authorised
  for (let round = 1; ; round++) {
    let protection: Protection | undefined
    const headers: Outgoing['headers'] = (connection) => {
      protection = asked || context.protectsUnasked ? protect(context, request, connection) : undefined
      const plain = withheld ? withoutBody(request.plain) : request.plain
      return protection ? [...plain, ['Authorization', protection.authorization]] : plain
    }
    const body = withheld ? new Uint8Array() : request.body
    const sent = await transport.send({ url, method, body, headers, signal })
    context.last.set(url.origin, sent.connection)
    if (withheld && sent.response.status < 300) {
      tell(context, request, sent, 'nobody asked for credentials: now with the body')
      withheld = false
      continue
    }
    if (sent.response.status !== 401 || request.authorised) return finish(context, request, sent, protection?.answer)
    const challenge = challengeOf(context, request, sent)
    if (!challenge) return respond(sent, 'absent')
    const needed = needsKey(context, protection, challenge)
    if (round >= MAX_ROUNDS || needed === 'in vain' || (needed && bootstrapped)) {
      tell(context, request, sent, bootstrapped ? 'refused with a fresh key: given up' : 'refused again: given up')
      if (profile.forgetsWhenRefused)
        context.state.update(({ bootstrap: _, ...rest }) => ({ ...rest, nonces: new Map() }))
      return respond(sent, 'absent')
    }
    tell(context, request, sent, noteOf(protection, challenge, needed))
    if (needed) {
      await context.bootstrap(signal)
      bootstrapped = true
    }
    keep(context, url.origin, challenge)
    withheld = false
    asked = true
  }
}

/** Whether a 401 asks for a new bootstrap, in this UE's opinion; `in vain`: it does, and this UE makes none. */
function needsKey(
  { live, profile }: UaContext,
  protection: Protection | undefined,
  { stale }: DigestChallenge,
): boolean | 'in vain' {
  const current = live()
  if (profile.bootstrapsOn === 'any-401' || !current) return true
  // A stale nonce says that the key was right; and another transaction may have bootstrapped meanwhile.
  if (!protection || stale || current.btid !== protection.btid) return false
  return profile.bootstrapsOn === 'no-key' ? 'in vain' : true
}

interface Protection {
  readonly authorization: string
  readonly answer: Answer
  readonly btid: Btid
}

/** Takes the next count of the nonce held for this NAF, once it is known under which key it goes out. */
function protect(context: UaContext, request: UaRequest, connection: UeConnection): Protection | undefined {
  const { state, profile } = context
  const { url, method, body } = request
  const held = context.live()
  if (request.authorised || !held || !isGood(state.read().nonces.get(url.origin), held.btid)) return undefined
  const previous = profile.suiteOf === 'previous-connection' ? context.last.get(url.origin) : undefined
  const password = utf8(toBase64(context.ksNaf(held, url.host, previous ?? connection).expose(32)))
  const nonce = state
    .update(({ nonces, ...rest }) => ({ ...rest, nonces: counted(nonces, url.origin, held.btid) }))
    .nonces.get(url.origin)
  if (!isGood(nonce, held.btid)) return undefined
  const answer = answerChallenge({
    challenge: nonce.challenge,
    qop: chooseQop(nonce.challenge, profile, request.qop),
    username: held.btid,
    password,
    nc: profile.formatNc(nonce.count),
    cnonce: nonce.cnonce,
    method,
    uri: profile.digestUri(url.target),
    body,
  })
  return { authorization: profile.formatAuthorization(answer.credentials), answer, btid: held.btid }
}

/** @returns undefined when the 401 does not ask for GBA @throws UeError CHALLENGE_UNUSABLE */
function challengeOf(context: UaContext, request: UaRequest, sent: Sent): DigestChallenge | undefined {
  try {
    const challenge = gbaChallenge(sent.response.headers, request.url.host, context.profile)
    if (challenge) chooseQop(challenge, context.profile, request.qop)
    else tell(context, request, sent, 'refused; the 401 does not ask for GBA')
    return challenge
  } catch (error) {
    if (error instanceof UeError) tell(context, request, sent, error.message)
    throw error
  }
}

function finish(context: UaContext, request: UaRequest, sent: Sent, answer: Answer | undefined): UeResponse {
  if (!answer) {
    tell(
      context,
      request,
      sent,
      request.authorised ? 'as the caller wants it, without GBA' : 'nobody asked for credentials',
    )
    return respond(sent, 'absent')
  }
  const { outcome, nextnonce } = checkProof(
    answer,
    sent.response.headers,
    sent.response.body,
    context.profile.readAuthenticationInfo,
  )
  tell(context, request, sent, outcome === 'verified' ? 'rspauth verified' : `rspauth is ${outcome}`)
  if (outcome === 'wrong') throw new UeError('RSPAUTH_WRONG', 'rspauth is wrong: this server does not know Ks_NAF')
  if (outcome === 'absent' && context.rspauth === 'require') throw new UeError('RSPAUTH_WRONG', 'rspauth is missing')
  if (nextnonce !== undefined) {
    const { nonce } = answer.credentials
    context.state.update(({ nonces, ...rest }) => ({
      ...rest,
      nonces: renewed(nonces, request.url.origin, nonce, nextnonce, context.profile.ncRestarts),
    }))
  }
  return respond(sent, outcome)
}

function noteOf(protection: Protection | undefined, { stale }: DigestChallenge, needed: boolean): string {
  if (!protection) return 'challenge for GBA'
  if (stale) return needed ? 'the nonce is stale: bootstrap anew all the same' : 'the nonce is stale, the key is good'
  return needed ? 'the key is refused: bootstrap anew' : 'the key has been replaced meanwhile'
}

type Nonces = UeState['nonces']

/** A challenge that repeats the nonce held does not start its count again. */
function keep({ state, profile, randomBytes }: UaContext, origin: string, challenge: DigestChallenge): void {
  const fresh = profile.formatCnonce(randomBytes(16))
  state.update(({ nonces, ...rest }) => {
    const held = nonces.get(origin)
    const isSame = held?.challenge.nonce === challenge.nonce
    const count = held && (isSame || !profile.ncRestarts) ? held.count : 0
    const cnonce = held && isSame ? held.cnonce : fresh
    return { ...rest, nonces: new Map(nonces).set(origin, { challenge, count, cnonce }) }
  })
}

/** A NAF may bind its nonce to the B-TID it has seen with it. */
const isGood = (nonce: HeldNonce | undefined, btid: Btid): nonce is HeldNonce =>
  nonce !== undefined && (nonce.btid ?? btid) === btid

function counted(nonces: Nonces, origin: string, btid: Btid): Nonces {
  const held = nonces.get(origin)
  return isGood(held, btid) ? new Map(nonces).set(origin, { ...held, count: held.count + 1, btid }) : nonces
}

/** A nextnonce counts only while the nonce it follows is the one held: answers may come in any order. */
function renewed(nonces: Nonces, origin: string, used: string, nextnonce: string, ncRestarts: boolean): Nonces {
  const held = nonces.get(origin)
  if (held?.challenge.nonce !== used || used === nextnonce) return nonces
  return new Map(nonces).set(origin, {
    ...held,
    challenge: { ...held.challenge, nonce: nextnonce },
    count: ncRestarts ? 0 : held.count,
  })
}

/** The same header for an empty body. */
const withoutBody = (headers: HeaderList): HeaderList =>
  headers.map(([name, value]) => [name, name.toLowerCase() === 'content-length' ? '0' : value])
