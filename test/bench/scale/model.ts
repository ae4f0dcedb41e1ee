/**
 * What subscribers do in a day. Each figure is an assumption, for an operator to replace by one of its own.
 * A login is a session: some requests in a row, with a key and a nonce that are held or have to be made.
 */
export interface Behaviour {
  readonly subscribers: number
  readonly sessionsPerDay: number
  readonly requestsPerSession: number
  /** On top, where a session begins with a bootstrap: what a UE reads when it starts (simservs, presence list). */
  readonly requestsAtBoot: number
  readonly keyLifetimeMin: number
  readonly nonceLifetimeMin: number
  /** That the ledgers of all hosts together hold. When full, the oldest goes, and its UE pays with one stale 401. */
  readonly maxNonces: number
  /** Share of the UEs that take any 401, a stale one too, for the end of their bootstrap. */
  readonly anyStatus401: number
  /** Share of the bootstraps that need a second vector, since SQN was out of step. */
  readonly resyncs: number
  /** Relative standard deviation of the load of a minute, beyond that of independent UEs. */
  readonly burst: number
}

export const BEHAVIOUR: Omit<Behaviour, 'subscribers'> = {
  sessionsPerDay: 4,
  requestsPerSession: 3,
  requestsAtBoot: 2,
  keyLifetimeMin: 720,
  nonceLifetimeMin: 720,
  maxNonces: 1_000_000,
  anyStatus401: 0.3,
  resyncs: 0.01,
  burst: 0.1,
}

/** What happens besides the day itself; minutes count from the midnight that the series begins at. */
export type Incident =
  /** All UEs of a region come back within `minutes`, each without its key. */
  | { readonly kind: 'region returns'; readonly at: number; readonly minutes: number; readonly share: number }
  /** Nothing is lost but the record of used nonces. */
  | { readonly kind: 'nonces forgotten'; readonly at: number }

/** How many there were in one minute. Fractions are expectations. */
export interface Minute {
  readonly sessions: number
  /** That are let through. */
  readonly requests: number
  /** 401s, stale ones included: each is a request more. */
  readonly challenges: number
  readonly stale: number
  readonly bootstraps: number
  readonly vectors: number
  /** At the end of the minute. */
  readonly liveKeys: number
  readonly liveNonces: number
  readonly withoutKey: number
}

export const MINUTES_PER_DAY = 1440
/** Cohorts of keys and nonces made in the same so many minutes end together. */
const GRAIN = 5

/** The load of a minute over that of the mean minute: a quiet night, UEs switched on at eight, a busy evening. */
export const diurnal = (minute: number): number => (CURVE[minute % MINUTES_PER_DAY] ?? 0) / MEAN

const bell = (minute: number, at: number, width: number) => Math.exp(-(((minute - at) / width) ** 2) / 2)
const CURVE = Array.from(
  { length: MINUTES_PER_DAY },
  (_, m) =>
    0.25 + 1.0 / (1 + Math.exp((390 - m) / 30)) - 0.4 * bell(m, 1440, 60) + bell(m, 480, 40) + bell(m, 1200, 90),
)
const MEAN = CURVE.reduce((sum, each) => sum + each, 0) / MINUTES_PER_DAY

/** A source of numbers in [0, 1) that gives the same ones for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** Mean 0, variance 1. */
const normal = (random: () => number): number =>
  Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())

/**
 * One day, after as many as it takes for keys to have their usual ages.
 * Every subscriber either has no key, or is in the cohort of those whose key and whose nonce are of the same age.
 */
export function simulateDay(
  behaviour: Behaviour,
  random: () => number,
  incidents: readonly Incident[] = [],
  warmUpDays = 2,
): Minute[] {
  const population = new Population(behaviour)
  const minutes: Minute[] = []
  for (let now = 0; now < (warmUpDays + 1) * MINUTES_PER_DAY; now++) {
    const mean = (behaviour.subscribers * behaviour.sessionsPerDay * diurnal(now)) / MINUTES_PER_DAY
    const spread = Math.hypot(behaviour.burst, 1 / Math.sqrt(Math.max(mean, 1)))
    const noise = Math.max(0, 1 + spread * normal(random))
    const at = now - warmUpDays * MINUTES_PER_DAY
    const minute = population.step(
      now,
      Math.min(1, (mean * noise) / Math.max(1, behaviour.subscribers)),
      (forget, restart) => {
        for (const incident of incidents) {
          if (incident.kind === 'nonces forgotten') {
            if (incident.at === at) forget()
          } else if (at >= incident.at && at < incident.at + incident.minutes) {
            restart(incident.share / incident.minutes)
          }
        }
      },
    )
    if (at >= 0) minutes.push(minute)
  }
  return minutes
}

class Population {
  readonly #behaviour: Behaviour
  readonly #slots: number
  /** Subscribers by the slot of their key and that of their nonce, both modulo the number of slots. */
  readonly #cohorts: Float64Array
  readonly #ofNonceSlot: Float64Array
  /** Nonces in the ledger by the slot in which they were first used: also those that nobody will use again. */
  readonly #recorded: Float64Array
  #withoutKey: number
  #liveKeys = 0
  #liveNonces = 0
  /** The instant up to which every nonce is forgotten. */
  #floor = 0
  #oldest = 0

  constructor(behaviour: Behaviour) {
    this.#behaviour = behaviour
    this.#slots = Math.ceil(Math.max(behaviour.keyLifetimeMin, behaviour.nonceLifetimeMin) / GRAIN) + 2
    this.#cohorts = new Float64Array(this.#slots ** 2)
    this.#ofNonceSlot = new Float64Array(this.#slots)
    this.#recorded = new Float64Array(this.#slots)
    this.#withoutKey = behaviour.subscribers
  }

  /** @param chance  that one subscriber has a session in this minute */
  step(now: number, chance: number, happens: (forget: () => void, restart: (share: number) => void) => void): Minute {
    const { requestsPerSession, requestsAtBoot, anyStatus401, resyncs } = this.#behaviour
    const slot = Math.floor(now / GRAIN)
    if (now % GRAIN === 0) this.#expire(slot)
    let restarted = 0
    happens(
      () => {
        this.#recorded.fill(0)
        this.#liveNonces = 0
        this.#floor = now
      },
      (share) => {
        restarted += this.#restart(share)
      },
    )
    const sessions = chance * (this.#withoutKey + this.#liveKeys) + restarted
    const fresh = chance * this.#withoutKey
    this.#withoutKey -= fresh
    const { renewed, lost } = this.#meetForgotten(now, slot, chance, anyStatus401)
    const bootstraps = fresh + lost + restarted
    const here = (slot % this.#slots) * this.#slots + (slot % this.#slots)
    this.#cohorts[here] = (this.#cohorts[here] ?? 0) + bootstraps
    this.#add(this.#ofNonceSlot, slot, bootstraps)
    this.#liveKeys += fresh + restarted
    this.#record(slot, bootstraps + renewed)
    return {
      sessions,
      requests: sessions * requestsPerSession + bootstraps * requestsAtBoot,
      challenges: bootstraps + renewed,
      stale: renewed + lost,
      bootstraps,
      vectors: bootstraps * (1 + resyncs),
      liveKeys: this.#liveKeys,
      liveNonces: this.#liveNonces,
      withoutKey: this.#withoutKey,
    }
  }

  #add(array: Float64Array, slot: number, count: number): void {
    const at = slot % this.#slots
    array[at] = (array[at] ?? 0) + count
  }

  /** Keys whose time is over, and records of nonces. */
  #expire(slot: number): void {
    const { keyLifetimeMin, nonceLifetimeMin } = this.#behaviour
    const key = slot - Math.ceil(keyLifetimeMin / GRAIN) - 1
    if (key >= 0) {
      const row = (key % this.#slots) * this.#slots
      for (let nonce = 0; nonce < this.#slots; nonce++) {
        const count = this.#cohorts[row + nonce] ?? 0
        if (count === 0) continue
        this.#cohorts[row + nonce] = 0
        this.#ofNonceSlot[nonce] = Math.max(0, (this.#ofNonceSlot[nonce] ?? 0) - count)
        this.#withoutKey += count
        this.#liveKeys -= count
      }
    }
    const nonce = slot - Math.ceil(nonceLifetimeMin / GRAIN) - 1
    if (nonce >= 0) this.#drop(nonce, Number.POSITIVE_INFINITY)
  }

  /** The floor rises to what goes, as that of the ledgers does. @returns how many went */
  #drop(slot: number, most: number): number {
    const at = slot % this.#slots
    const there = this.#recorded[at] ?? 0
    const gone = Math.min(there, most)
    this.#recorded[at] = there - gone
    this.#liveNonces -= gone
    const left = there > 0 ? (there - gone) / there : 0
    const begin = Math.max(this.#floor, slot * GRAIN)
    this.#floor = Math.max(this.#floor, begin + ((slot + 1) * GRAIN - begin) * (1 - left))
    return gone
  }

  #record(slot: number, count: number): void {
    this.#add(this.#recorded, slot, count)
    this.#liveNonces += count
    this.#oldest = Math.max(this.#oldest, slot - this.#slots + 1)
    let over = this.#liveNonces - this.#behaviour.maxNonces
    while (over > 1e-9 && this.#oldest <= slot) {
      over -= this.#drop(this.#oldest, over)
      if (over > 1e-9) this.#oldest++
    }
  }

  /** @returns how many lost their key with it */
  #restart(share: number): number {
    for (let at = 0; at < this.#cohorts.length; at++) this.#cohorts[at] = (this.#cohorts[at] ?? 0) * (1 - share)
    for (let at = 0; at < this.#slots; at++) this.#ofNonceSlot[at] = (this.#ofNonceSlot[at] ?? 0) * (1 - share)
    const restarted = share * (this.#liveKeys + this.#withoutKey)
    this.#liveKeys *= 1 - share
    this.#withoutKey *= 1 - share
    return restarted
  }

  /** Sessions with a nonce that the ledger no longer knows: most get another, some bootstrap. */
  #meetForgotten(now: number, slot: number, chance: number, anyStatus401: number): { renewed: number; lost: number } {
    const { keyLifetimeMin } = this.#behaviour
    let renewed = 0
    let lost = 0
    const last = Math.min(slot, Math.floor(this.#floor / GRAIN))
    const first = Math.max(0, slot - this.#slots + 1, slot - Math.ceil(keyLifetimeMin / GRAIN) - 1)
    for (let nonce = first; nonce <= last; nonce++) {
      const column = nonce % this.#slots
      if ((this.#ofNonceSlot[column] ?? 0) <= 1e-9) continue
      const begin = nonce * GRAIN
      const forgotten = Math.min(1, (this.#floor - begin) / Math.min(GRAIN, Math.max(1, now - begin)))
      if (forgotten <= 0) continue
      for (let row = 0; row < this.#slots; row++) {
        const from = row * this.#slots + column
        const met = (this.#cohorts[from] ?? 0) * forgotten * chance
        if (met === 0) continue
        const to = row * this.#slots + (slot % this.#slots)
        const kept = met * (1 - anyStatus401)
        this.#cohorts[from] = (this.#cohorts[from] ?? 0) - met
        this.#cohorts[to] = (this.#cohorts[to] ?? 0) + kept
        this.#add(this.#ofNonceSlot, nonce, -met)
        this.#add(this.#ofNonceSlot, slot, kept)
        renewed += kept
        lost += met - kept
      }
    }
    return { renewed, lost }
  }
}
