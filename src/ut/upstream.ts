import { type Dispatcher, errors, Pool } from 'undici'
import { GbaError } from '../errors.ts'
import type { Grant } from './authorise.ts'
import { isGrant } from './authorise.ts'

/** Where one application server listens, and how patient the AP is with it. */
export interface Upstream {
  readonly name: string
  /** Scheme, host and port. */
  readonly url: string
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
  readonly connections: number
}

/** What is sent: the very target and method that were authorised, with headers and body that are ours. */
export interface Forwarding {
  readonly grant: Grant
  readonly headers: Readonly<Record<string, string | string[]>>
  readonly body: Uint8Array | undefined
}

export const FORWARDING: unique symbol = Symbol('forwarding')

/** Request headers as the forwarder takes them: nothing counts but what the check has made. */
export interface CheckedHeaders {
  readonly [FORWARDING]: Forwarding
}

type Answer = (error: Error | null, data?: Dispatcher.ResponseData) => void

/**
 * The way out. It stands where the proxy expects an undici client, takes method, target, headers and body from the
 * grant alone, and so sends the target octet for octet: the URL that the proxy made of it on the way is not used.
 * One pool of connections per application server.
 */
export function upstreams(list: readonly Upstream[]) {
  const pools = new Map(
    list.map((upstream) => [
      upstream.name,
      {
        patienceMs: upstream.connectTimeoutMs + upstream.timeoutMs,
        pool: new Pool(upstream.url, {
          connections: upstream.connections,
          pipelining: 1,
          headersTimeout: upstream.timeoutMs,
          bodyTimeout: upstream.timeoutMs,
          connect: { timeout: upstream.connectTimeoutMs },
        }),
      },
    ]),
  )
  return {
    request({ headers }: { readonly headers?: unknown }, answer: Answer): void {
      const forwarding = (headers as Partial<CheckedHeaders> | undefined)?.[FORWARDING]
      if (!forwarding || !isGrant(forwarding.grant)) throw new TypeError('forwarding without a grant')
      const to = pools.get(forwarding.grant.appServer)
      if (!to) throw new TypeError(`no application server ${forwarding.grant.appServer}`)
      const { grant, body } = forwarding
      // The pool's own timers start once a connection is free: without this one, a server that hangs makes a queue.
      // A request in that queue hears of its abort only when its turn comes, so the answer does not wait for it.
      const patience = new AbortController()
      let settled = false
      const settle = (error: GbaError | null, data?: Dispatcher.ResponseData) => {
        clearTimeout(timer)
        if (!settled) answer(error, data)
        settled = true
      }
      const timer = setTimeout(() => {
        settle(new GbaError('UT_AS_TIMEOUT', 'no connection and no answer in time'))
        patience.abort()
      }, to.patienceMs)
      to.pool.request(
        {
          method: grant.method as Dispatcher.HttpMethod,
          path: grant.target,
          headers: forwarding.headers,
          body: body ?? null,
          signal: patience.signal,
        },
        (error, data) => {
          if (error) return settle(asGbaError(error))
          if (data.statusCode <= 599) return settle(null, data)
          data.body.on('error', () => {}).destroy()
          settle(new GbaError('UT_AS_ANSWER_INVALID', `status ${data.statusCode}`))
        },
      )
    },
    /** reply-from calls it on close. */
    destroy: () => Promise.all([...pools.values()].map(({ pool }) => pool.destroy())),
    close: () => Promise.all([...pools.values()].map(({ pool }) => pool.close())),
  }
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
  const invalid = isOfParser(error) || INVALID.has(code)
  return new GbaError(invalid ? 'UT_AS_ANSWER_INVALID' : 'UT_AS_UNREACHABLE', code || error.message, { cause: error })
}

const codeOf = (error: Error): string => ('code' in error ? String(error.code) : '')

/** It has a code for some faults only. */
const isOfParser = (error: Error): boolean => error instanceof errors.HTTPParserError
