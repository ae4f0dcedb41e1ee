import type { TLSSocket } from 'node:tls'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { EpochMs } from '../core/bytes.ts'
import { GbaError, PROBLEM_JSON } from '../errors.ts'
import type { Audit } from '../observe/audit.ts'
import type { BootstrapStore } from '../store/store.ts'
import { answerBir, checkNaf, type NafEntry } from './answer.ts'
import { formatBia, NBSP_GBA_PATH, parseBir, WRONG_URI_CAUSE } from './nbsp-gba.ts'

/** A NAF and the certificate that proves it is this NAF: by fingerprint, or by a DNS name the Zn CA vouched for. */
export interface RemoteNaf extends NafEntry {
  /** Empty: not asked for. An entry that asks for neither is nobody's. */
  readonly certificate: { readonly fingerprint256: string; readonly san: string }
}

export interface ZnOptions {
  /** Those of now: the configuration may change. */
  readonly nafs: () => readonly RemoteNaf[]
  readonly bootstraps: BootstrapStore
  readonly audit: Audit
  readonly now: () => EpochMs
}

/** The BSF's side of Zn: Nbsp_GBA over mutual TLS, closed to any NAF without an entry. @see 3GPP TS 29.309 clause 5.2.2 (Rel-18) */
export default async function zn(scope: FastifyInstance, { nafs, bootstraps, audit, now }: ZnOptions) {
  scope.setErrorHandler(refuse)
  scope.setNotFoundHandler((request, reply) => answer(request, reply, 404, WRONG_URI_CAUSE))
  scope.post(NBSP_GBA_PATH, async (request, reply) => {
    const naf = nafOf(request, nafs())
    const bir = parseBir(request.body)
    if (!bir) throw new GbaError('ZN_REQUEST_MALFORMED', 'not a BootstrappingInfoRequest')
    checkNaf(naf, bir)
    const bia = answerBir(naf, bir, await bootstraps.find(bir.btid, now()), now())
    const { btid, nafFqdn, uaProtocolId } = bir
    audit.record('zn.granted', { requestId: request.id, btid, naf: nafFqdn, uaProtocolId, durationMs: takenMs(reply) })
    return reply.header('cache-control', 'no-store').send(formatBia(bia))
  })

  function refuse(error: unknown, request: FastifyRequest, reply: FastifyReply) {
    const fault = asGbaError(error)
    const { status, cause } = STATUS_OF_ZN[fault.fault.zn ?? 5012] ?? INTERNAL
    audit.record('zn.refused', {
      requestId: request.id,
      code: fault.code,
      detail: fault.message,
      status,
      durationMs: takenMs(reply),
    })
    if (status >= 500) request.log.error({ err: error, code: fault.code }, 'zn.failed')
    return answer(request, reply, status, cause)
  }
}

/** Since the request was there, in whole milliseconds. */
const takenMs = (reply: FastifyReply): number => Math.round(reply.elapsedTime)

const INTERNAL = { status: 500, cause: 'SYSTEM_FAILURE' }

/**
 * What Nbsp_GBA says for each result code of Diameter Zn.
 * Reading: the cause names are the common 5GC ones where one fits; TS 29.309's own table is not public text we have.
 */
const STATUS_OF_ZN: Readonly<Record<number, { status: number; cause: string }>> = {
  5402: { status: 403, cause: 'NOT_AUTHORIZED' },
  5403: { status: 404, cause: 'CONTEXT_NOT_FOUND' },
  5004: { status: 400, cause: 'INVALID_MSG_FORMAT' },
  3004: { status: 503, cause: 'NF_CONGESTION' },
  5012: INTERNAL,
}

function answer(request: FastifyRequest, reply: FastifyReply, status: number, cause: string | undefined) {
  const problem = { status, instance: `urn:uuid:${request.id}`, ...(cause && { cause }) }
  // Octets, so that no serialiser adds a charset that the media type does not have.
  return reply
    .code(status)
    .header('content-type', PROBLEM_JSON)
    .send(Buffer.from(JSON.stringify(problem)))
}

/** The entry of the NAF whose certificate this connection proved. The TLS layer has checked its chain and dates. */
function nafOf(request: FastifyRequest, nafs: readonly RemoteNaf[]): RemoteNaf {
  const socket = request.raw.socket as TLSSocket
  const certificate = socket.authorized ? socket.getPeerX509Certificate?.() : undefined
  if (!certificate) throw new GbaError('ZN_NAF_NOT_LISTED', 'no client certificate')
  const fingerprint = certificate.fingerprint256.replaceAll(':', '').toLowerCase()
  const naf = nafs.find(({ certificate: { fingerprint256, san } }) => {
    if (fingerprint256 === '' && san === '') return false
    const isPrint = fingerprint256 === '' || fingerprint256.replaceAll(':', '').toLowerCase() === fingerprint
    return isPrint && (san === '' || certificate.checkHost(san, { subject: 'never', wildcards: false }) === san)
  })
  if (!naf) throw new GbaError('ZN_NAF_NOT_LISTED', `certificate ${fingerprint} belongs to no NAF entry`)
  return naf
}

function asGbaError(error: unknown): GbaError {
  if (error instanceof GbaError) return error
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500
  const code = status >= 400 && status < 500 ? 'ZN_REQUEST_MALFORMED' : 'INTERNAL'
  return new GbaError(code, error instanceof Error ? error.message : 'not an error', { cause: error })
}
