import { isIP } from 'node:net'
import type { SecureContextOptions } from 'node:tls'
import { buildConnector, type Dispatcher, errors, Pool } from 'undici'
import { GbaError } from '../errors.ts'
import { type Grant, isGrant } from './authorise.ts'
import { type OutgoingHeaders, preparedTarget } from './headers.ts'

/** Where one application server listens, and how patient the AP is with it. */
export interface Upstream {
  readonly name: string
  /** Scheme, host and port. */
  readonly url: string
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
  readonly connections: number
  /** Of an https URL: whom to trust and what to show. Default: the CAs that Node trusts, and no certificate. */
  readonly tls?: UpstreamTls
}

export interface UpstreamTls extends SecureContextOptions {
  /** Name that the server's certificate has to carry, and that is asked for (SNI). Default: the host of the URL. */
  readonly servername?: string
}

/** What is sent: the method that was authorised, the target that `prepare` made of the authorised one, and its headers. */
export interface Forwarding {
  readonly grant: Grant
  readonly headers: OutgoingHeaders
  readonly body: Uint8Array | undefined
  /** Told once of the status that the server gave, also when the UE has gone meanwhile: what it did is done. */
  readonly onAnswer?: (status: number) => void
}

export const FORWARDING: unique symbol = Symbol('forwarding')

/** Request headers as the forwarder takes them: nothing counts but what the check has made. */
export interface CheckedHeaders {
  readonly [FORWARDING]: Forwarding
}

/** A message that may be sent, taken apart. */
export interface CheckedMessage {
  readonly grant: Grant
  readonly path: string
  readonly headers: OutgoingHeaders
  readonly body: Uint8Array | undefined
}

/** What exactly is sent for a forwarding. @throws TypeError for what nobody granted or prepared */
export function checkedMessage({ grant, headers, body }: Forwarding): CheckedMessage {
  if (!isGrant(grant)) throw new TypeError('forwarding without a grant')
  const path = preparedTarget(headers, grant)
  if (path === undefined) throw new TypeError('forwarding of what nobody prepared')
  return { grant, path, headers, body }
}

type Answer = (error: Error | null, data?: Dispatcher.ResponseData) => void

/**
 * The way out. It stands where the proxy expects an undici client, takes method, target, headers and body from grant and
 * preparation alone, and so sends the target octet for octet: the URL that the proxy made of it on the way is not used.
 * Each application server has a pool of connections and a cache of TLS sessions of its own, also where two of them are
 * at one address.
 */
export function upstreams(list: readonly Upstream[]) {
  const pools = new Map(
    list.map((upstream) => [
      upstream.name,
      {
        patienceMs: upstream.connectTimeoutMs + upstream.timeoutMs,
        servername: new URL(upstream.url).hostname,
        pool: new Pool(upstream.url, {
          connections: upstream.connections,
          pipelining: 1,
          headersTimeout: upstream.timeoutMs,
          bodyTimeout: upstream.timeoutMs,
          connect: connectorTo(upstream),
        }),
      },
    ]),
  )
  return {
    request({ headers }: { readonly headers?: unknown }, answer: Answer): void {
      const forwarding = (headers as Partial<CheckedHeaders> | undefined)?.[FORWARDING]
      if (!forwarding) throw new TypeError('forwarding without a grant')
      const { grant, path, headers: prepared, body } = checkedMessage(forwarding)
      const { onAnswer } = forwarding
      const to = pools.get(grant.appServer)
      if (!to) throw new TypeError(`no application server ${grant.appServer}`)
      // The pool's own timers start once a connection is free: without this one, a server that hangs makes a queue.
      // A request in that queue hears of its abort only when its turn comes, so the answer does not wait for it.
      const patience = new AbortController()
      let settled = false
      const settle = (error: GbaError | null, data?: Dispatcher.ResponseData) => {
        clearTimeout(timer)
        if (settled) return
        settled = true
        if (data) onAnswer?.(data.statusCode)
        answer(error, data)
      }
      const timer = setTimeout(() => {
        settle(new GbaError('UT_AS_TIMEOUT', 'no connection and no answer in time'))
        patience.abort()
      }, to.patienceMs)
      const request = {
        method: grant.method as Dispatcher.HttpMethod,
        path,
        headers: prepared,
        body: body ?? null,
        signal: patience.signal,
        // Else undici takes the Host header for it, and a new connection whenever that changes.
        servername: to.servername,
      }
      to.pool.request(request, (error, data) => {
        if (error) return settle(asGbaError(error))
        if (data.statusCode <= 599) return settle(null, data)
        data.body.on('error', () => {}).destroy()
        settle(new GbaError('UT_AS_ANSWER_INVALID', `status ${data.statusCode}`))
      })
    },
    /** How busy the pool of each application server is, by name. */
    loads: () =>
      new Map(
        [...pools].map(([name, { pool }]) => [
          name,
          () => ({ open: pool.stats.connected, waiting: pool.stats.pending }),
        ]),
      ),
    /** reply-from calls it on close. */
    destroy: () => Promise.all([...pools.values()].map(({ pool }) => pool.destroy())),
    close: () => Promise.all([...pools.values()].map(({ pool }) => pool.close())),
  }
}

/** Verifies the server's certificate, whatever the environment says; each call has a session cache of its own. */
function connectorTo({ url, connectTimeoutMs, tls = {} }: Upstream): buildConnector.connector {
  const { servername = nameIn(url), ...context } = tls
  const connect = buildConnector({ ...context, timeout: connectTimeoutMs, rejectUnauthorized: true })
  return ({ servername: _, ...to }, done) =>
    connect(servername === '' ? to : { ...to, servername }, (...connected) => {
      connected[1]?.prependListener('error', tellReset)
      done(...connected)
    })
}

/** undici takes the reset of a connection that is not kept for the end of its answer, whole or not: see its onHttpSocketError. */
function tellReset(error: NodeJS.ErrnoException): void {
  if (error.code === 'ECONNRESET') error.code = 'ECONNABORTED'
}

/** An IP address is verified as such, and never asked for by SNI. */
function nameIn(url: string): string {
  const { hostname } = new URL(url)
  return isIP(hostname.replace(/^\[|\]$/g, '')) ? '' : hostname
}

/** The fault of an application server whose connection fails within its answer; undefined for any other error. */
export function faultOfConnection(error: unknown): GbaError | undefined {
  if (!(error instanceof Error) || 'statusCode' in error) return undefined
  return isOfParser(error) || /^(?:UND_ERR_\w+|E[A-Z]+)$/.test(codeOf(error)) ? asGbaError(error) : undefined
}

const TOO_LATE = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT'])
const INVALID = new Set(['UND_ERR_HEADERS_OVERFLOW', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'])

function asGbaError(error: Error): GbaError {
  if (error instanceof GbaError) return error
  const code = codeOf(error)
  if (TOO_LATE.has(code)) return new GbaError('UT_AS_TIMEOUT', code, { cause: error })
  const invalid = isOfParser(error) || INVALID.has(code) || error.message === SWITCHED
  return new GbaError(invalid ? 'UT_AS_ANSWER_INVALID' : 'UT_AS_UNREACHABLE', code || error.message, { cause: error })
}

/** What undici calls a switch of protocols that nobody asked for. */
const SWITCHED = 'bad upgrade'

const codeOf = (error: Error): string => ('code' in error ? String(error.code) : '')

/** It has a code for some faults only. */
const isOfParser = (error: Error): boolean => error instanceof errors.HTTPParserError
