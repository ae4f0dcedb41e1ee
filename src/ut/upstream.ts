import { isIP } from 'node:net'
import type { SecureContextOptions } from 'node:tls'
import { buildConnector, type Dispatcher, errors, Pool } from 'undici'
import { GbaError } from '../errors.ts'
import { type AddressOptions, type AppServerAddresses, addressesOf, isSafeMethod } from './addresses.ts'
import { type Grant, isGrant } from './authorise.ts'
import { type OutgoingHeaders, preparedTarget } from './headers.ts'

/** Where one application server listens, and how patient the AP is with it. */
export interface Upstream extends AddressOptions {
  /** From the request being sent to the head of the answer, and between two pieces of its body. */
  readonly timeoutMs: number
  /** For the connection, its TLS included. */
  readonly connectTimeoutMs: number
  readonly connections: number
  /** Most requests that wait for a connection to one address; one more is refused at once. Default: any number. */
  readonly waiting?: number
  /** How long it waits for one where all are busy; kept by the express lane. Default: as long as it may live. */
  readonly waitMs?: number
  /** Default: nobody asks after it. */
  readonly health?: HealthCheck | undefined
  /** Of an https URL: whom to trust and what to show. Default: the CAs that Node trusts, and no certificate. */
  readonly tls?: UpstreamTls
}

/** What a server is asked of its health, and how often. */
export interface HealthCheck {
  readonly path: string
  readonly intervalMs: number
  readonly timeoutMs: number
  readonly expectStatus: number
  /** So many bad answers in a row, or none, and the address is left alone. */
  readonly failures: number
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
 * Each address of an application server has a pool of connections and a cache of TLS sessions of its own, also where two
 * servers are at one address. Nothing is sent twice; what only reads goes to another address where none was reached at
 * the first.
 * @param addresses  what is known of the addresses, which others who send to them may share
 */
export function upstreams(
  list: readonly Upstream[],
  addresses: ReadonlyMap<string, AppServerAddresses> = addressesOf(list),
) {
  const ways = new Map(list.map((upstream) => [upstream.name, wayTo(upstream, addresses.get(upstream.name))]))
  const pools = [...ways.values()].flatMap((way) => [...way.pools.values()].map(({ pool }) => pool))
  return {
    request({ headers }: { readonly headers?: unknown }, answer: Answer): void {
      const forwarding = (headers as Partial<CheckedHeaders> | undefined)?.[FORWARDING]
      if (!forwarding) throw new TypeError('forwarding without a grant')
      const message = checkedMessage(forwarding)
      const way = ways.get(message.grant.appServer)
      if (!way) throw new TypeError(`no application server ${message.grant.appServer}`)
      const settle: Answer = (error, data) => {
        if (data) forwarding.onAnswer?.(data.statusCode)
        answer(error, data)
      }
      try {
        send(way, message, undefined, settle)
      } catch (error) {
        if (!(error instanceof GbaError)) throw error
        // Whoever asks expects to be told later.
        queueMicrotask(() => answer(error))
      }
    },
    /** How busy each pool is. */
    loads: () => pools.map(({ stats }) => ({ open: stats.connected, waiting: stats.pending })),
    /** reply-from calls it on close. */
    destroy: () => Promise.all(pools.map((pool) => pool.destroy())),
    close: () => Promise.all(pools.map((pool) => pool.close())),
  }
}

interface Way {
  readonly addresses: AppServerAddresses
  readonly patienceMs: number
  /** By URL of the address. */
  readonly pools: ReadonlyMap<string, CountedPool>
  /** Requests that a pool has at most, those that wait included. */
  readonly mostUnderWay: number
}

interface CountedPool {
  readonly pool: Pool
  /** Requests that it has no answer to. */
  underWay: number
}

function wayTo(upstream: Upstream, addresses: AppServerAddresses | undefined): Way {
  if (!addresses) throw new TypeError(`no addresses of ${upstream.name}`)
  const { connections, timeoutMs, connectTimeoutMs, waiting = Infinity } = upstream
  const pools = addresses.urls.map((url): [string, CountedPool] => {
    const patience = { headersTimeout: timeoutMs, bodyTimeout: timeoutMs }
    const pool = new Pool(url, { connections, pipelining: 1, ...patience, connect: connectorTo({ ...upstream, url }) })
    return [url, { pool, underWay: 0 }]
  })
  const patienceMs = connectTimeoutMs + timeoutMs
  return { addresses, patienceMs, pools: new Map(pools), mostUnderWay: connections + waiting }
}

/**
 * Sends to one address.
 * @param except  where it was tried before, if it was: it is not tried a third time
 * @throws GbaError UT_AS_SUSPENDED, UT_AS_OVERLOADED
 */
function send(way: Way, message: CheckedMessage, except: string | undefined, answer: Answer): void {
  const { grant, path, headers, body } = message
  const isSafe = isSafeMethod(grant.method)
  const wanted = { key: grant.uri.xui ?? grant.subscriber, isSafe, ...(except !== undefined && { except }) }
  const lease = way.addresses.choose(wanted, performance.now())
  const counted = way.pools.get(lease.url)
  if (!counted || counted.underWay >= way.mostUnderWay) {
    lease.abandoned(performance.now())
    lease.release()
    throw new GbaError('UT_AS_OVERLOADED', `${counted?.underWay} requests are under way`)
  }
  // The pool's own timers start once a connection is free: without this one, a server that hangs makes a queue.
  // A request in that queue hears of its abort only when its turn comes, so the answer does not wait for it.
  const patience = new AbortController()
  let settled = false
  const settle = (error: GbaError | null, data?: Dispatcher.ResponseData, isUnsent = false) => {
    clearTimeout(timer)
    if (settled) return
    settled = true
    if (error) {
      lease.failed(error.code, performance.now())
      lease.release()
      // A connection that never stood has carried nothing.
      if (isUnsent && isSafe && except === undefined && sendElsewhere(way, message, lease.url, answer)) return
    } else if (data) {
      lease.answered(data.statusCode, performance.now())
      data.body.once('close', () => lease.release())
    }
    answer(error, data)
  }
  const timer = setTimeout(() => {
    settle(new GbaError('UT_AS_TIMEOUT', 'no connection and no answer in time'))
    patience.abort()
  }, way.patienceMs)
  const request = {
    method: grant.method as Dispatcher.HttpMethod,
    path,
    headers,
    body: body ?? null,
    signal: patience.signal,
    // Else undici takes the Host header for it, and a new connection whenever that changes.
    servername: new URL(lease.url).hostname,
  }
  counted.underWay++
  counted.pool.request(request, (error, data) => {
    counted.underWay--
    if (error) return settle(asGbaError(error), undefined, neverStood.has(error))
    if (data.statusCode <= 599) return settle(null, data)
    data.body.on('error', () => {}).destroy()
    settle(new GbaError('UT_AS_ANSWER_INVALID', `status ${data.statusCode}`))
  })
}

/** @returns false: there is no other address, or none that takes it */
function sendElsewhere(way: Way, message: CheckedMessage, except: string, answer: Answer): boolean {
  if (way.pools.size < 2) return false
  try {
    send(way, message, except, answer)
    return true
  } catch (error) {
    if (error instanceof GbaError) return false
    throw error
  }
}

/** Errors of connections that never came to carry a request. */
const neverStood = new WeakSet<object>()

/** Verifies the server's certificate, whatever the environment says; each call has a session cache of its own. */
export function connectorTo({
  url,
  connectTimeoutMs,
  tls = {},
}: Pick<Upstream, 'url' | 'connectTimeoutMs' | 'tls'>): buildConnector.connector {
  const { servername = nameIn(url), ...context } = tls
  const connect = buildConnector({ ...context, timeout: connectTimeoutMs, rejectUnauthorized: true })
  return ({ servername: _, ...to }, done) =>
    connect(servername === '' ? to : { ...to, servername }, (...connected) => {
      const [error, socket] = connected
      if (error) neverStood.add(error)
      socket?.prependListener('error', tellReset)
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
