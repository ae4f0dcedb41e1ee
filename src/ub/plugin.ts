import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { EpochMs } from '../core/bytes.ts'
import { toBase64 } from '../core/bytes.ts'
import { headerValues } from '../core/headers.ts'
import type { Impi } from '../core/identity.ts'
import { GbaError, PROBLEM_JSON, problemOf } from '../errors.ts'
import type { Audit } from '../observe/audit.ts'
import type { BootstrapStore, OnceStore } from '../store/store.ts'
import type { AvSource, Resync } from '../zh/port.ts'
import {
  acceptance,
  type BsfIdentity,
  challengeHeader,
  concludeBootstrap,
  judgeAnswer,
  type Opening,
  openChallenge,
  type PendingChallenge,
  readUbRequest,
  TMPI_TOKEN,
  type UbRequest,
  type Verdict,
} from './bootstrap.ts'
import type { UbCaller, UbLimiter } from './limits.ts'

export interface UbOptions extends BsfIdentity {
  readonly keyLifetimeS: number
  readonly challengeLifetimeS: number
  readonly avSource: AvSource
  readonly challenges: OnceStore<PendingChallenge>
  readonly bootstraps: BootstrapStore
  readonly limiter: UbLimiter
  /** What an address is counted as; undefined: not by its address. */
  readonly sourceOf: (address: string) => string | undefined
  readonly audit: Audit
  readonly now: () => EpochMs
  readonly randomBytes: (length: number) => Uint8Array
}

/** Ub: bootstrapping with HTTP Digest AKA, on plain HTTP. @see 3GPP TS 24.109 clause 4 (Rel-17) */
export default async function ub(scope: FastifyInstance, options: UbOptions) {
  const { avSource, challenges, bootstraps, limiter, audit, now } = options
  const server = options.tmpi ? `gba-proxy ${TMPI_TOKEN}` : 'gba-proxy'

  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  scope.addHook('onRequest', async (_request, reply) => {
    reply.header('server', server)
  })
  scope.setErrorHandler((error, request, reply) => refuse(error, request, reply))
  scope.setNotFoundHandler(handle)
  scope.all('/', handle)

  async function handle(request: FastifyRequest, reply: FastifyReply) {
    refuseBody(request)
    const ubRequest = ubRequestOf(request)
    const message = readUbRequest(ubRequest, options)
    if (message.step === 'start') return challenge(request, reply, message.opening, await impiOf(message.opening))
    const { opening, credentials } = message
    const pending = await challenges.take(credentials.nonce, now())
    // An answer to a challenge that is gone (late, or used): the UE starts again with a fresh vector.
    if (!pending) return challenge(request, reply, opening, await impiOf(opening))
    const verdict = await judge(callerOf(request, opening, pending.impi), () =>
      judgeAnswer(pending, opening, credentials, ubRequest.method),
    )
    if (verdict.verdict === 'resync') {
      return challenge(request, reply, opening, pending.impi, { rand: pending.av.rand, auts: verdict.auts })
    }
    const bootstrap = concludeBootstrap(pending, now(), options.keyLifetimeS)
    await bootstraps.put(bootstrap)
    audit.record('ub.bootstrapped', {
      requestId: request.id,
      impi: bootstrap.impi,
      btid: bootstrap.btid,
      durationMs: takenMs(reply),
    })
    const { headers, body } = acceptance(bootstrap, pending, credentials)
    return reply.code(200).headers(headers).send(body)
  }

  async function challenge(
    request: FastifyRequest,
    reply: FastifyReply,
    opening: Opening,
    impi: Impi,
    resync?: Resync,
  ) {
    await limiter.admit(callerOf(request, opening, impi))
    const maa = await avSource.draw(impi, resync)
    if (resync) audit.record('ub.resynchronised', { requestId: request.id, impi })
    audit.record('zh.av-drawn', { requestId: request.id, impi })
    const pending = openChallenge(opening, impi, maa, toBase64(options.randomBytes(18)))
    await challenges.put(pending.nonce, pending, now() + options.challengeLifetimeS * 1000)
    audit.record('ub.challenged', { requestId: request.id, impi, source: request.ip, durationMs: takenMs(reply) })
    return reply
      .code(401)
      .header('www-authenticate', challengeHeader(pending))
      .header('content-type', PROBLEM_JSON)
      .send(problemOctets(401, request.id))
  }

  async function judge(caller: UbCaller, verdict: () => Verdict): Promise<Verdict> {
    try {
      return verdict()
    } catch (error) {
      await limiter.failed(caller)
      throw error
    }
  }

  const callerOf = (request: FastifyRequest, { identity }: Opening, impi: Impi): UbCaller => ({
    source: options.sourceOf(request.ip),
    impi,
    isTmpi: 'tmpi' in identity,
  })

  async function impiOf({ identity }: Opening): Promise<Impi> {
    if ('impi' in identity) return identity.impi
    const impi = await bootstraps.findImpi(identity.tmpi, now())
    // The UE comes back with its IMPI. TS 33.220 clause 4.5.2 leaves the status open.
    if (!impi) throw new GbaError('UB_TMPI_UNKNOWN', 'no live bootstrap has this TMPI')
    return impi
  }

  function refuse(error: unknown, request: FastifyRequest, reply: FastifyReply) {
    const fault = asGbaError(error)
    const status = fault.fault.ub ?? 500
    audit.record('ub.refused', {
      requestId: request.id,
      code: fault.code,
      detail: fault.message,
      status,
      source: request.ip,
      durationMs: takenMs(reply),
    })
    if (fault.fault.by === 'us' || status >= 500) request.log.error({ err: error, code: fault.code }, 'ub.failed')
    const retryAfterS = fault.retryAfterS ?? (status === 503 ? 5 : undefined)
    if (retryAfterS !== undefined) reply.header('retry-after', String(retryAfterS))
    if (status === 405) reply.header('allow', 'GET')
    return reply.code(status).header('content-type', PROBLEM_JSON).send(problemOctets(status, request.id))
  }
}

/** Since the request was there, in whole milliseconds. */
const takenMs = (reply: FastifyReply): number => Math.round(reply.elapsedTime)

/** Octets, so that no serialiser adds a charset that the media type does not have. */
const problemOctets = (status: number, requestId: string) => Buffer.from(JSON.stringify(problemOf(status, requestId)))

/** Fastify leaves the body of a GET unread; the digest covers an empty one. */
function refuseBody({ raw: { headers } }: FastifyRequest): void {
  if (headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0') {
    throw new GbaError('UB_REQUEST_MALFORMED', 'Ub requests carry no body')
  }
}

function ubRequestOf(request: FastifyRequest): UbRequest {
  const raw = request.raw.rawHeaders
  return {
    method: request.method,
    target: request.originalUrl,
    host: request.headers.host,
    authorization: headerValues(raw, 'authorization'),
    userAgent: headerValues(raw, 'user-agent').join(' '),
    body: Buffer.isBuffer(request.body) ? request.body : new Uint8Array(),
  }
}

/** What Fastify itself refuses (framing, size) is the UE's malformed request; anything else is our bug. */
function asGbaError(error: unknown): GbaError {
  if (error instanceof GbaError) return error
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500
  const code = status >= 400 && status < 500 ? 'UB_REQUEST_MALFORMED' : 'INTERNAL'
  return new GbaError(code, error instanceof Error ? error.message : 'not an error', { cause: error })
}
