import { hash, randomBytes, randomUUID } from 'node:crypto'
import fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyReply, LogController } from 'fastify'
import { utf8 } from '../core/bytes.ts'
import { GbaError, PROBLEM_JSON, problemOf } from '../errors.ts'
import type { DocumentStore, StoredDocument } from '../store/store.ts'
import { type Admission, admit, EVERY_METHOD, type Refusal } from './admit.ts'
import { type ApplicationUsage, applicationUsages } from './auids.ts'
import { elementUri } from './request-target.ts'
import { type Answer, deleteResource, type Operation, putResource, readResource } from './resource.ts'
import { formatXcapError, XCAP_ERROR_TYPE } from './xcap-error.ts'

export interface AsOptions {
  readonly documents: DocumentStore
  /** Path of the XCAP root, or its URI as clients know it; `/` by default. */
  readonly xcapRoot?: string
  readonly log?: FastifyBaseLogger
  /** Octets of the largest body and of the largest document; 1 MiB by default. */
  readonly bodyLimit?: number
  /** Entity tag of a document that changes: never the same twice, not even for the same content. */
  readonly newEtag?: () => string
}

/**
 * The lab's XCAP server, on plain HTTP behind the authentication proxy.
 * It believes the X-3GPP-Asserted-Identity of whoever reaches it: that only the proxy does (loopback, or a network of
 * their own) is up to the operator.
 * Reading: there are no directories to make; any document may be put below the XUI.
 * @see RFC 4825 clause 8
 */
export function createAs(options: AsOptions): FastifyInstance {
  const { documents, xcapRoot = '/', bodyLimit = 1_048_576, newEtag = randomEtag } = options
  const usages = applicationUsages()
  const app: FastifyInstance = fastify({
    ...(options.log ? { loggerInstance: options.log } : { logger: false }),
    logController: new LogController({ disableRequestLogging: true }), // the path names an IMPU
    genReqId: () => randomUUID(),
    bodyLimit,
    return503OnClosing: false, // what was on its way when it was asked to stop is served
    frameworkErrors: (_error, _request, reply) => refuse(reply, { status: 400 }),
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  app.setErrorHandler((error, request, reply) => {
    const status = statusOf(error)
    if (status >= 500) request.log.error({ err: error }, 'as.failed')
    return refuse(reply, { status })
  })
  app.setNotFoundHandler((_request, reply) => refuse(reply, { status: 405, allow: EVERY_METHOD }))
  app.all('/*', async (request, reply) => {
    const { method, headers, body } = request
    const admission = admit({ method, target: request.raw.url ?? '', headers }, usages, xcapRoot)
    if ('status' in admission) return refuse(reply, admission)
    const octets = body instanceof Uint8Array ? body : new Uint8Array()
    return send(reply, await answerTo(admission, octets, documents, bodyLimit, newEtag), admission)
  })
  return app
}

async function answerTo(
  admission: Admission,
  body: Uint8Array,
  documents: DocumentStore,
  limit: number,
  newEtag: () => string,
): Promise<Answer> {
  const { method, usage, target } = admission
  const operation: Operation = { ...admission, limit }
  if (method === 'GET') {
    return readResource(generatedBy(usage) ?? (await documents.find(target.documentSelector)), operation)
  }
  const etag = newEtag()
  let answer: Answer | undefined
  await documents.update(target.documentSelector, (current) => {
    const change =
      method === 'PUT' ? putResource(current, operation, body, etag) : deleteResource(current, operation, etag)
    answer = change.answer
    return change.document
  })
  if (!answer) throw new Error('the store did not ask for the document')
  return answer
}

function send(reply: FastifyReply, answer: Answer, { target }: Admission) {
  const { status, etag, error, body, contentType } = answer
  if (etag !== undefined) reply.header('etag', `"${etag}"`)
  if (error) {
    return reply
      .code(status)
      .type(XCAP_ERROR_TYPE)
      .send(formatXcapError(error, (selector) => elementUri(target, selector)))
  }
  if (body && contentType !== undefined) return reply.code(status).type(contentType).send(body)
  if (status === 404 || status === 412) return refuse(reply, { status })
  return reply.code(status).send()
}

function refuse(reply: FastifyReply, { status, allow }: Pick<Refusal, 'allow'> & { readonly status: number }) {
  if (allow !== undefined) reply.header('allow', allow)
  // RFC 9110 wants a challenge with every 401; only the proxy can meet this one.
  if (status === 401) reply.header('www-authenticate', 'X-3GPP-Asserted-Identity')
  return reply.code(status).type(PROBLEM_JSON).send(problemOf(status, reply.request.id))
}

function statusOf(error: unknown): number {
  if (error instanceof GbaError) return error.fault.ut ?? 500
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined
  return typeof status === 'number' && status >= 400 && status < 500 ? status : 500
}

/** Nobody writes it, so its content can be its tag. */
const generatedBy = ({ generated, mimeType }: ApplicationUsage): StoredDocument | undefined =>
  generated === undefined
    ? undefined
    : { body: utf8(generated), contentType: mimeType, etag: hash('sha256', generated, 'base64url') }

const randomEtag = (): string => randomBytes(15).toString('base64url')
