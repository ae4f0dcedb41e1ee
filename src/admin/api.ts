import type { TLSSocket } from 'node:tls'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { isLoopback } from '../config/loopback.ts'
import { type Btid, parseBtid, parseImpu } from '../core/identity.ts'
import { FAULTS, type FaultCode, PROBLEM_JSON, problemOf } from '../errors.ts'
import { AUDIT_EVENTS, type AuditEvent, type AuditRecord } from '../observe/audit.ts'
import { parseInstant } from '../ua/rebootstrap.ts'
import type { AdminCall, AdminDesk, DecisionFilter, Demand, Participation } from './calls.ts'
import { isOfThisHost } from './server.ts'
import { tailTo } from './tail.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Whom a call of the admin API is about, in clear. */
    about: Pick<AuditRecord, 'impi' | 'btid' | 'impus'>
  }
}

/** What the API answers with another status than 2xx. `message` is told to the caller and names no identity. */
class AdminRefusal extends Error {
  readonly statusCode: number
  readonly workers: Participation | undefined
  constructor(statusCode: number, detail: string, workers?: Participation) {
    super(detail)
    this.name = 'AdminRefusal'
    this.statusCode = statusCode
    this.workers = workers
  }
}

/**
 * The resources for operators who look at subscribers and change what is kept of them. They are for this host, or for
 * whoever shows a certificate, also where `admin.insecurePlain` opens the listener's other resources to a network.
 * Every call of them is recorded, whatever becomes of it.
 * @param isByTls  whether the listener speaks TLS, which it does with certificates on both sides
 */
export const adminApi =
  (desk: AdminDesk, isByTls: boolean) =>
  async (scope: FastifyInstance): Promise<void> => {
    let readers = 0
    scope.decorateRequest('about')
    scope.removeContentTypeParser('text/plain')
    scope.setErrorHandler((error, request, reply) => refuse(error, request, reply))
    scope.addHook('onRequest', async (request) => {
      request.about = {}
      const { method, headers, raw } = request
      if (!isByTls && !(isLoopback(plainAddress(raw.socket.remoteAddress)) && isOfThisHost(headers.host))) {
        throw new AdminRefusal(403, 'without TLS, only this host is answered')
      }
      if (method !== 'GET' && headers['x-requested-with'] === undefined && !isJson(headers['content-type'])) {
        throw new AdminRefusal(403, 'what changes something needs X-Requested-With or a body of application/json')
      }
    })
    scope.addHook('onResponse', async (request, reply) => {
      if (!IS_FOLLOWED.has(request)) record(request, reply.statusCode)
    })

    const get = (url: string, callOf: (request: FastifyRequest) => AdminCall) =>
      scope.route({ method: 'GET', url, handler: (request, reply) => answer(request, reply, callOf(request)) })
    get('/admin/bootstraps', ({ query }) => ({
      ask: 'bootstraps',
      impi: only(query, ['impi']).impi ?? missing('impi'),
    }))
    get('/admin/bootstraps/*', (request) => ({ ask: 'bootstrap', btid: restOf(request) }))
    get('/admin/subscribers/*', (request) => ({ ask: 'subscriber', impi: restOf(request) }))
    get('/admin/routes', () => ({ ask: 'routes' }))
    scope.route({
      method: 'DELETE',
      url: '/admin/bootstraps/*',
      bodyLimit: BODY_LIMIT,
      handler: (request, reply) => change(request, reply, { ask: 'drop', btid: restOf(request) }),
    })
    scope.route({
      method: 'POST',
      url: '/admin/rebootstrap',
      bodyLimit: BODY_LIMIT,
      handler: (request, reply) => change(request, reply, { ask: 'rebootstrap', demand: demandOf(request.body) }),
    })
    scope.route({
      method: 'GET',
      url: '/admin/decisions',
      handler: async (request, reply) => {
        const { follow, ...wanted } = only(request.query, ['follow', 'event', 'code'])
        const filter = filterOf(wanted)
        if (follow === undefined || follow === '0') return answer(request, reply, { ask: 'refusals', filter })
        if (follow !== '1') throw new AdminRefusal(400, 'follow is 0 or 1')
        await requireAudit()
        if (readers >= MOST_READERS) throw new AdminRefusal(429, `${MOST_READERS} readers follow already`)
        record(request, 200)
        IS_FOLLOWED.add(request)
        // Last: whoever is counted leaves when the answer ends, and it begins now.
        readers++
        reply.hijack()
        tailTo(reply.raw, desk, filter, () => readers--)
      },
    })

    /** What cannot be recorded is not done; what only shows something is, and the log has it. */
    async function change(request: FastifyRequest, reply: FastifyReply, call: AdminCall) {
      await requireAudit()
      return answer(request, reply, call)
    }

    async function requireAudit(): Promise<void> {
      const { detail, status } = await desk.answer({ ask: 'audit' })
      if (status >= 400) throw new AdminRefusal(status, detail ?? 'no')
    }

    async function answer(request: FastifyRequest, reply: FastifyReply, call: AdminCall) {
      const { about = {}, body, detail, status, workers } = await desk.answer(call)
      request.about = about
      if (body === undefined) throw new AdminRefusal(status, detail ?? 'no', workers)
      return reply.code(status).send(workers ? { ...body, workers } : body)
    }

    function record(request: FastifyRequest, status: number): void {
      const subject = subjectOf(request)
      desk.record({
        requestId: request.id,
        method: request.method,
        path: templateOf(request.routeOptions.url ?? ''),
        status,
        source: request.ip,
        ...(subject && { subject }),
        ...request.about,
      })
    }
  }

/** How the path of a resource is written down. */
const templateOf = (url: string): string =>
  url.replace('/bootstraps/*', '/bootstraps/{btid}').replace('/subscribers/*', '/subscribers/{impi}')

/** Calls that were recorded when they began, since they last. */
const IS_FOLLOWED = new WeakSet<FastifyRequest>()
const MOST_READERS = 8
const BODY_LIMIT = 4_096

function refuse(error: unknown, request: FastifyRequest, reply: FastifyReply) {
  const found = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500
  const status = found >= 400 && found < 600 ? found : 500
  if (!(error instanceof AdminRefusal) && status >= 500) {
    request.log.error({ err: error, requestId: request.id }, 'admin.failed')
  }
  const problem = {
    ...problemOf(status, request.id),
    ...(error instanceof AdminRefusal && { detail: error.message, ...(error.workers && { workers: error.workers }) }),
  }
  return reply
    .code(status)
    .header('content-type', PROBLEM_JSON)
    .send(Buffer.from(JSON.stringify(problem)))
}

const isJson = (type: string | undefined): boolean => /^application\/json(?:\s*;|$)/i.test(type ?? '')

/** An IPv4 address as such, where a listener of IPv6 has taken it. */
const plainAddress = (address = ''): string => address.replace(/^::ffff:/, '')

/** Who the certificate of the connection says that this is. */
function subjectOf({ raw }: FastifyRequest): string | undefined {
  const socket = raw.socket as Partial<TLSSocket>
  const subject = socket.authorized ? socket.getPeerX509Certificate?.()?.subject : undefined
  return subject?.replaceAll('\n', ', ').slice(0, 256)
}

/** What stands behind the last slash of the template, decoded: a B-TID may have slashes of its own. */
function restOf({ params }: FastifyRequest): string {
  const { '*': rest = '' } = params as { readonly '*'?: string }
  if (rest === '' || rest.length > 512) throw new AdminRefusal(404, 'no such name')
  return rest
}

/** Fields that are there once and known. @throws AdminRefusal 400 */
function only<Name extends string>(fields: unknown, names: readonly Name[]): { readonly [Key in Name]?: string } {
  for (const [name, value] of Object.entries(fields as object)) {
    if (!names.includes(name as Name)) throw new AdminRefusal(400, `there is ${names.join(', ')}, and nothing more`)
    if (typeof value !== 'string') throw new AdminRefusal(400, `${name} is given once`)
  }
  return fields as { readonly [Key in Name]?: string }
}

function missing(name: string): never {
  throw new AdminRefusal(400, `${name} has to be given`)
}

function filterOf({ code, event }: { readonly code?: string; readonly event?: string }): DecisionFilter {
  if (event !== undefined && !(AUDIT_EVENTS as readonly string[]).includes(event)) {
    throw new AdminRefusal(400, 'no event of the audit has that name')
  }
  if (code !== undefined && !Object.hasOwn(FAULTS, code)) throw new AdminRefusal(400, 'there is no such fault code')
  return {
    ...(event !== undefined && { event: event as AuditEvent }),
    ...(code !== undefined && { code: code as FaultCode }),
  }
}

/** `{ impu | btid | all: true, since? }`. @throws AdminRefusal 400 */
function demandOf(body: unknown): Demand {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new AdminRefusal(400, 'no JSON object')
  const { all, btid, impu, since, ...more } = body as Readonly<Record<string, unknown>>
  const given = [all, btid, impu].filter((one) => one !== undefined)
  if (given.length !== 1 || Object.keys(more).length > 0) {
    throw new AdminRefusal(400, 'exactly one of impu, btid and all, and since if wanted')
  }
  const whom = whomOf({ all, btid, impu })
  if (since === undefined) return { whom }
  const instant = typeof since === 'string' ? parseInstant(since) : undefined
  if (instant === undefined) throw new AdminRefusal(400, 'since is an instant with its time zone, 2026-01-31T12:00:00Z')
  return { whom, since: new Date(instant).toISOString() }
}

function whomOf({ all, btid, impu }: Readonly<Record<'all' | 'btid' | 'impu', unknown>>): Demand['whom'] {
  if (all === true) return { all }
  const parsedBtid: Btid | undefined = typeof btid === 'string' ? parseBtid(btid) : undefined
  if (parsedBtid) return { btid: parsedBtid }
  const parsedImpu = typeof impu === 'string' ? parseImpu(impu) : undefined
  if (parsedImpu) return { impu: parsedImpu }
  throw new AdminRefusal(400, 'impu is a sip:, sips: or tel: URI, btid a B-TID, all true')
}
