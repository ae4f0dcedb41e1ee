import { type HeadLimits, type RequestHead, readRequestHead } from './request-head.ts'

/** A head that was read, to hold others against. */
export interface KnownHead {
  readonly head: RequestHead
  readonly octets: Uint8Array
  /** Where the value of its Authorization begins and ends. */
  readonly from: number
  readonly to: number
  /** The place of that value in `rawHeaders`. */
  readonly place: number
}

/** @param octets that the head was read of. @returns undefined: what comes next is better read as a whole */
export function knownHead(octets: Uint8Array, head: RequestHead): KnownHead | undefined {
  const { authorizationAt: from, authorization, length } = head
  const [value, ...more] = authorization
  if (from === undefined || value === undefined || more.length > 0 || length > LONGEST) return undefined
  const place = 1 + head.rawHeaders.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === 'authorization')
  return { head, octets: Uint8Array.prototype.slice.call(octets, 0, length), from, to: from + value.length, place }
}

/** Of a head that is kept. */
const LONGEST = 2_048

/**
 * Reads a head that is, octet for octet, one that the grammar has matched before, but for the value of Authorization,
 * which is as long as that one. To compare is several times cheaper than to match, and UEs say the same again and again.
 * @returns what `readRequestHead` would; undefined: it is another head, and that one is to be asked
 */
export function readAlikeHead(
  octets: Buffer,
  { head, octets: known, from, to, place }: KnownHead,
): RequestHead | undefined {
  if (octets.length < known.length) return undefined
  if (octets.compare(known, 0, from, 0, from) !== 0) return undefined
  if (octets.compare(known, to, known.length, to, known.length) !== 0) return undefined
  const value = octets.toString('latin1', from, to)
  if (!VALUE.test(value)) return undefined
  const rawHeaders = head.rawHeaders.slice()
  rawHeaders[place] = value
  return { ...head, rawHeaders, authorization: [value] }
}

/** Printable, and no blank at either end: what a reader of the whole head would take for the value as well. */
const VALUE = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/

/**
 * Reads heads, and remembers those that come again and again, whoever sends them and on whatever connection. Bounded: what
 * came once is not kept, so that a crowd of strangers fills it with nothing, and when it is full it forgets all.
 */
export class HeadReader {
  readonly #limits: HeadLimits
  readonly #known = new Map<string, KnownHead>()
  /** Of the known ones. */
  #octets = 0
  /** Request lines that came once. */
  readonly #met = new Set<string>()

  constructor(limits: HeadLimits) {
    this.#limits = limits
  }

  /** What `readRequestHead` says. */
  read(octets: Buffer): RequestHead | 'more' | 'other' {
    const line = beginningOf(octets)
    const known = line === undefined ? undefined : this.#known.get(line)
    const alike = known && readAlikeHead(octets, known)
    if (alike) return alike
    const head = readRequestHead(octets, this.#limits)
    if (typeof head !== 'string' && line !== undefined) this.#remember(line, octets, head)
    return head
  }

  /** From time to time: heads name people, who may be gone. */
  forget(): void {
    this.#known.clear()
    this.#met.clear()
    this.#octets = 0
  }

  #remember(line: string, octets: Buffer, head: RequestHead): void {
    if (!this.#met.has(line)) {
      if (this.#met.size >= MOST_MET) this.#met.clear()
      this.#met.add(line)
      return
    }
    const known = knownHead(octets, head)
    if (known === undefined) return
    const more = known.octets.length - (this.#known.get(line)?.octets.length ?? 0)
    if (this.#octets + more > MOST_OCTETS || this.#known.size >= MOST_HEADS) this.forget()
    this.#octets += this.#known.has(line) ? more : known.octets.length
    this.#known.set(line, known)
    head.likeness.isKept = true
  }
}

/** Of heads. Their texts, and what is found of them, take some six times as much; with short ones a kilobyte each. */
const MOST_OCTETS = 2 * 1024 * 1024
const MOST_HEADS = 4_096
const MOST_MET = 4_096

/** Method and target, where they are. */
function beginningOf(octets: Buffer): string | undefined {
  const space = octets.indexOf(SPACE, LONGEST_METHOD_AND_SPACE)
  return space < 0 || space > LONGEST_LINE ? undefined : octets.toString('latin1', 0, space)
}

const SPACE = 0x20
/** Behind every method is more than that of a target that is worth it. */
const LONGEST_METHOD_AND_SPACE = 7
const LONGEST_LINE = 512
