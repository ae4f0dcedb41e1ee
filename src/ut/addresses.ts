import { type FaultCode, GbaError } from '../errors.ts'
import { leastLoaded, rendezvous, weightOf } from './balance.ts'
import {
  abandoned,
  admits,
  type Breaker,
  type BreakerLimits,
  CLOSED,
  failed,
  isSuspect,
  probing,
  reached,
  unwell,
  well,
} from './breaker.ts'

/** Where an application server can be reached, and how one of its addresses is chosen. */
export interface AddressOptions {
  readonly name: string
  /** Scheme, host and port. */
  readonly url: string
  /** Further addresses of the same server. Default: none. */
  readonly moreUrls?: readonly string[]
  /** Default: least-load. */
  readonly balance?: 'least-load' | 'hash'
  /** How long an address that came back takes to its whole share. Default: 0, at once. */
  readonly slowStartMs?: number
  /** `gatewayStatuses`: an answer 502, 503 or 504 is a failure, too. Default: see DEFAULT_BREAKER. */
  readonly breaker?: BreakerLimits & { readonly gatewayStatuses: boolean }
}

export const DEFAULT_BREAKER = { failures: 20, openMs: 2000, gatewayStatuses: false }

/** What is known of one address, for metrics and readiness. */
export interface AppServerState {
  readonly name: string
  readonly url: string
  readonly state: Breaker['state']
  /** No request goes there now, not even one that tries. */
  readonly isLeftAlone: boolean
  /** Requests under way there. */
  readonly inFlight: number
}

/** An address begins to be left alone, or is trusted again; tries in between are not told. */
export interface BreakerChange {
  readonly appServer: string
  readonly address: string
  readonly isLeftAlone: boolean
  /** Its own word of its health, or requests that failed, and one that was answered. */
  readonly by: 'health' | 'requests'
}

/** What a request needs of an address. */
export interface Wanted {
  /** Names whose document it is: with `hash` it decides. */
  readonly key: string
  /** It may be sent again, so that it may also try an address that failed. */
  readonly isSafe: boolean
  /** Where it was sent already. */
  readonly except?: string
}

/** A request's place at one address. Its end is told once; then it is let go, once. */
export interface Lease {
  readonly url: string
  /** The head of an answer has come. */
  answered(status: number, now: number): void
  /** There will be none. */
  failed(code: FaultCode, now: number): void
  /** Nobody wants the answer any more; nothing after `answered` or `failed`. */
  abandoned(now: number): void
  /** The answer is over, or there is none. */
  release(): void
}

interface Address {
  readonly url: string
  inFlight: number
  breaker: Breaker
  weight: number
  readonly tell: (isLeftAlone: boolean, by: BreakerChange['by']) => void
}

/**
 * The addresses of one application server, for all who send to it in this process. Every `now` is of the same clock, in
 * ms, which never goes back.
 */
export class AppServerAddresses {
  readonly name: string
  readonly #addresses: readonly Address[]
  readonly #isHashed: boolean
  readonly #slowStartMs: number
  readonly #limits: NonNullable<AddressOptions['breaker']>
  #turn = 0

  constructor(
    { name, url, moreUrls = [], balance = 'least-load', slowStartMs = 0, breaker = DEFAULT_BREAKER }: AddressOptions,
    onBreaker: (change: BreakerChange) => void = () => {},
  ) {
    this.name = name
    this.#addresses = [url, ...moreUrls].map(
      (each): Address => ({
        url: each,
        inFlight: 0,
        breaker: CLOSED,
        weight: 1,
        tell: (isLeftAlone, by) => onBreaker({ appServer: name, address: each, isLeftAlone, by }),
      }),
    )
    this.#isHashed = balance === 'hash'
    this.#slowStartMs = slowStartMs
    this.#limits = breaker
  }

  get urls(): readonly string[] {
    return this.#addresses.map(({ url }) => url)
  }

  /** A place for a request. @throws GbaError UT_AS_SUSPENDED when every address is left alone now */
  choose(wanted: Wanted, now: number): Lease {
    const lease = this.chooseOther(wanted, now)
    if (lease) return lease
    const retryAfterS = Math.max(1, Math.ceil(this.#waitMs(now) / 1000))
    throw new GbaError('UT_AS_SUSPENDED', `every address of ${this.name} failed`, { retryAfterS })
  }

  /** As `choose`; undefined where there is none. */
  chooseOther(wanted: Wanted, now: number): Lease | undefined {
    const address = this.#only(wanted, now) ?? this.#pick(wanted, now)
    return address && this.#lease(address, now)
  }

  /** What a check of its health has found. @param until when a bad word is too old to count */
  checked(url: string, isWell: boolean, until: number, now: number): void {
    const address = this.#addresses.find((each) => each.url === url)
    if (address) become(address, isWell ? well(address.breaker, now) : unwell(until), 'health')
  }

  states(now: number): AppServerState[] {
    return this.#addresses.map(({ url, breaker, inFlight }) => ({
      name: this.name,
      url,
      state: breaker.state,
      isLeftAlone: breaker.state === 'open' && now < breaker.until,
      inFlight,
    }))
  }

  /** Most servers have one address: then there is nothing to choose. */
  #only({ except }: Wanted, now: number): Address | undefined {
    const [only, second] = this.#addresses
    if (only === undefined || second !== undefined || only.url === except) return undefined
    return admits(only.breaker, now) === 'no' ? undefined : only
  }

  #pick({ key, isSafe, except }: Wanted, now: number): Address | undefined {
    const ready: Address[] = []
    let probe: Address | undefined
    for (const address of this.#addresses) {
      if (address.url === except) continue
      const admission = admits(address.breaker, now)
      if (admission === 'probe') probe ??= address
      if (admission === 'yes') ready.push(address)
      if (address.breaker.state === 'closed') {
        address.weight = weightOf(address.breaker.restoredAt, this.#slowStartMs, now)
      }
    }
    // Who may be sent again elsewhere tries; what must not fail does so only where there is nothing else.
    if (probe && (ready.length === 0 || (isSafe && except === undefined))) return probe
    const trusted = isSafe ? ready : ready.filter(({ breaker }) => !isSuspect(breaker, this.#limits, now))
    const among = trusted.length > 0 ? trusted : ready
    return this.#isHashed ? rendezvous(among, key) : leastLoaded(among, this.#turn++)
  }

  #waitMs(now: number): number {
    const waits = this.#addresses.map(({ breaker }) => (breaker.state === 'open' ? breaker.until - now : 0))
    return Math.min(...waits)
  }

  #lease(address: Address, now: number): Lease {
    const limits = this.#limits
    const isProbe = admits(address.breaker, now) === 'probe'
    if (isProbe) address.breaker = probing(now)
    address.inFlight++
    let isTold = false
    let isHeld = true
    return {
      url: address.url,
      answered(status, at) {
        if (isTold) return
        isTold = true
        const isFailure = limits.gatewayStatuses && status >= 502 && status <= 504
        become(
          address,
          isFailure ? failed(address.breaker, isProbe, limits, at) : reached(address.breaker, isProbe, at),
          'requests',
        )
      },
      failed(code, at) {
        if (isTold) return
        isTold = true
        become(address, afterFault(address.breaker, code, isProbe, limits, at), 'requests')
      },
      abandoned(at) {
        if (isTold) return
        isTold = true
        become(address, abandoned(address.breaker, isProbe, at), 'requests')
      },
      release() {
        if (isHeld) address.inFlight--
        isHeld = false
      },
    }
  }
}

function become(address: Address, breaker: Breaker, by: BreakerChange['by']): void {
  const isLeftAlone = breaker.state !== 'closed'
  const isNews = isLeftAlone !== (address.breaker.state !== 'closed')
  address.breaker = breaker
  if (isNews) address.tell(isLeftAlone, by)
}

function afterFault(breaker: Breaker, code: FaultCode, isProbe: boolean, limits: BreakerLimits, now: number): Breaker {
  if (code === 'UT_AS_UNREACHABLE' || code === 'UT_AS_TIMEOUT') return failed(breaker, isProbe, limits, now)
  // Somebody is there, who answers one request badly and may answer the next one well.
  if (code === 'UT_AS_ANSWER_INVALID') return reached(breaker, isProbe, now)
  return abandoned(breaker, isProbe, now)
}

/** Whether a method asks for nothing but to read, so that it may be sent again. @see RFC 9110 section 9.2.1 (2022) */
export const isSafeMethod = (method: string): boolean => method === 'GET' || method === 'HEAD'

/** Those of all servers, by name. */
export const addressesOf = (servers: readonly AddressOptions[]): ReadonlyMap<string, AppServerAddresses> =>
  new Map(servers.map((server) => [server.name, new AppServerAddresses(server)]))
