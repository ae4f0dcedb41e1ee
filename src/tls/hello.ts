/** What a look at the first octets of a TLS stream gives. Whatever is read here only steers: the TLS engine judges. */
export type Reading<T> =
  /** `octets`: where the record ends that holds the end of the message. */
  | { readonly outcome: 'complete'; readonly value: T; readonly octets: number }
  /** `atLeast`: the message cannot be whole before that many octets are here; looking earlier is wasted. */
  | { readonly outcome: 'more'; readonly atLeast: number }
  /** The message is, or says it is, longer than any that is read. */
  | { readonly outcome: 'too-large' }
  /** Not TLS, another message, or a malformed one. */
  | { readonly outcome: 'other' }

/** What a client offers, as far as the choice of a way to authenticate depends on it. */
export interface ClientHello {
  /** Code points in the client's order. */
  readonly cipherSuites: readonly number[]
  /** host_name as sent; it may be anything. */
  readonly serverName: string | undefined
  /** Of supported_versions; without that extension, the one version of the hello. */
  readonly versions: readonly number[]
  /** TLS 1.3: 0 psk_ke, 1 psk_dhe_ke. */
  readonly pskKeyExchangeModes: readonly number[]
  /** TLS 1.3: those of tickets and those of external keys alike. */
  readonly pskIdentities: readonly Uint8Array[]
}

/** The longest message that is looked at, and the most octets of records it may come in. */
export const MAX_HELLO_OCTETS = 65_536

/**
 * Reads the ClientHello at the start of what a client sends, however it is cut into records.
 * @see RFC 8446 section 4.1.2 (2018)
 */
export function readClientHello(octets: Uint8Array): Reading<ClientHello> {
  return readHandshake(octets, CLIENT_HELLO, clientHelloOf)
}

/**
 * Reads which cipher suite a server chose, at the start of what it sends.
 * @returns its code point
 * @see RFC 5246 section 7.4.1.3 (2008)
 */
export function readServerHelloSuite(octets: Uint8Array): Reading<number> {
  return readHandshake(octets, SERVER_HELLO, (body) => {
    body.skip(2 + 32)
    body.vector(1, 0, 32)
    return body.number(2)
  })
}

/**
 * Reads the identity from a ClientKeyExchange of any of PSK, DHE_PSK and ECDHE_PSK: it comes first in all three.
 * @param octets what a TLS 1.2 client sends after its ClientHello
 * @see RFC 4279 section 2, RFC 5489 section 2 (2009)
 */
export function readPskIdentity(octets: Uint8Array): Reading<Uint8Array> {
  return readHandshake(octets, CLIENT_KEY_EXCHANGE, (body) => body.vector(2, 0, 0xffff)?.rest())
}

const CLIENT_HELLO = 1
const SERVER_HELLO = 2
const CLIENT_KEY_EXCHANGE = 16
const RECORD_HEADER = 5
const HANDSHAKE_HEADER = 4
const HANDSHAKE_RECORD = 22
/** 2^14 octets of plain text. */
const MAX_RECORD = 16_384

/** Joins the records of one handshake message of this type and reads its body. */
function readHandshake<T>(
  octets: Uint8Array,
  type: number,
  read: (body: Cursor) => T | undefined,
): Reading<NonNullable<T>> {
  const fragments: Uint8Array[] = []
  let have = 0
  let length: number | undefined
  let at = 0
  while (length === undefined || have < HANDSHAKE_HEADER + length) {
    // The rest needs a record of its own; it may come in many, but not in less than this.
    const missing = (length === undefined ? HANDSHAKE_HEADER : HANDSHAKE_HEADER + length) - have
    const atLeast = at + RECORD_HEADER + missing
    if (atLeast > MAX_HELLO_OCTETS) return { outcome: 'too-large' }
    const [contentType, major, high, low] = [octets[at], octets[at + 1], octets[at + 3], octets[at + 4]]
    if (contentType !== undefined && contentType !== HANDSHAKE_RECORD) return { outcome: 'other' }
    if (major !== undefined && major !== 3) return { outcome: 'other' }
    if (high === undefined || low === undefined) return { outcome: 'more', atLeast }
    const size = high * 256 + low
    if (size === 0 || size > MAX_RECORD) return { outcome: 'other' }
    if (at + RECORD_HEADER + size > MAX_HELLO_OCTETS) return { outcome: 'too-large' }
    const fragment = octets.subarray(at + RECORD_HEADER, at + RECORD_HEADER + size)
    if (have === 0 && fragment.length > 0 && fragment[0] !== type) return { outcome: 'other' }
    if (fragment.length < size) return { outcome: 'more', atLeast: Math.max(atLeast, at + RECORD_HEADER + size) }
    fragments.push(fragment)
    have += size
    at += RECORD_HEADER + size
    if (length === undefined && have >= HANDSHAKE_HEADER) length = new Cursor(joined(fragments)).skip(1).number(3)
  }
  const message = new Cursor(joined(fragments))
  const body = message.skip(1).vector(3, 0, MAX_HELLO_OCTETS)
  const value = body && read(body)
  // A read past the end yields undefined or zeros, and is remembered.
  return value === undefined || value === null || body?.overrun !== false
    ? { outcome: 'other' }
    : { outcome: 'complete', value, octets: at }
}

/** Nearly all messages come in one record, and then nothing is copied. */
function joined(fragments: readonly Uint8Array[]): Uint8Array {
  const [only, ...more] = fragments
  return only && more.length === 0 ? only : Buffer.concat(fragments)
}

function clientHelloOf(body: Cursor): ClientHello | undefined {
  const legacyVersion = body.number(2)
  body.skip(32)
  body.vector(1, 0, 32)
  const cipherSuites = body.vector(2, 2, 0xfffe)?.numbers(2)
  const compressions = body.vector(1, 1, 0xff)
  if (legacyVersion === undefined || !cipherSuites || !compressions) return undefined
  const extensions = body.isAtEnd ? new Map<number, Cursor>() : extensionsOf(body)
  if (!extensions) return undefined
  const found = {
    serverName: readExtension(extensions, 0, serverNameOf, ''),
    versions: readExtension(extensions, 43, (it) => it.vector(1, 2, 254)?.numbers(2), [legacyVersion]),
    pskKeyExchangeModes: readExtension(extensions, 45, (it) => it.vector(1, 1, 255)?.numbers(1), []),
    pskIdentities: readExtension(extensions, PRE_SHARED_KEY, pskIdentitiesOf, []),
  }
  const { serverName, versions, pskKeyExchangeModes, pskIdentities } = found
  if (serverName === undefined || !versions || !pskKeyExchangeModes || !pskIdentities) return undefined
  return { cipherSuites, serverName: serverName || undefined, versions, pskKeyExchangeModes, pskIdentities }
}

const PRE_SHARED_KEY = 41

/** Each once, and pre_shared_key the last. */
function extensionsOf(body: Cursor): Map<number, Cursor> | undefined {
  const list = body.vector(2, 0, 0xffff)
  if (!list || !body.isAtEnd) return undefined
  const extensions = new Map<number, Cursor>()
  while (!list.isAtEnd) {
    const type = list.number(2)
    const content = list.vector(2, 0, 0xffff)
    if (type === undefined || !content || extensions.has(type) || extensions.has(PRE_SHARED_KEY)) return undefined
    extensions.set(type, content)
  }
  return extensions
}

/** @returns `absent` where there is none; undefined where it is malformed or has something behind it */
function readExtension<T>(
  extensions: ReadonlyMap<number, Cursor>,
  type: number,
  read: (content: Cursor) => T | undefined,
  absent: T,
): T | undefined {
  const content = extensions.get(type)
  if (!content) return absent
  const value = read(content)
  return content.isAtEnd && !content.overrun ? value : undefined
}

/** One host_name and nothing else: no other kind of name was ever defined. */
function serverNameOf(content: Cursor): string | undefined {
  const list = content.vector(2, 4, 0xffff)
  const type = list?.number(1)
  const name = list?.vector(2, 1, 0xffff)?.rest()
  return type === 0 && name && list?.isAtEnd ? Buffer.from(name).toString('latin1') : undefined
}

function pskIdentitiesOf(content: Cursor): Uint8Array[] | undefined {
  const list = content.vector(2, 7, 0xffff)
  const binders = content.vector(2, 33, 0xffff)
  if (!list || !binders) return undefined
  const identities: Uint8Array[] = []
  while (!list.isAtEnd) {
    const identity = list.vector(2, 1, 0xffff)
    list.skip(4)
    if (!identity || list.overrun) return undefined
    identities.push(identity.rest())
  }
  return identities
}

/** Reads forward only; past the end everything is undefined, and `overrun` says so. */
class Cursor {
  readonly #octets: Uint8Array
  readonly #end: number
  #at: number
  overrun = false

  constructor(octets: Uint8Array, at = 0, end = octets.length) {
    this.#octets = octets
    this.#at = at
    this.#end = end
  }

  get isAtEnd(): boolean {
    return this.#at === this.#end
  }

  skip(length: number): this {
    this.#take(length)
    return this
  }

  number(size: 1 | 2 | 3): number | undefined {
    const at = this.#take(size)
    if (at === undefined) return undefined
    let value = 0
    for (let i = at; i < at + size; i++) value = value * 256 + (this.#octets[i] ?? 0)
    return value
  }

  /** A vector with its length in front, of that many octets. */
  vector(lengthSize: 1 | 2 | 3, min: number, max: number): Cursor | undefined {
    const length = this.number(lengthSize)
    const at = length === undefined || length < min || length > max ? undefined : this.#take(length)
    if (at === undefined) this.overrun = true
    return at === undefined ? undefined : new Cursor(this.#octets, at, this.#at)
  }

  rest(): Uint8Array {
    const rest = this.#octets.subarray(this.#at, this.#end)
    this.#at = this.#end
    return rest
  }

  /** All the rest as numbers of this size; undefined when it does not come out even. */
  numbers(size: 1 | 2): number[] | undefined {
    const values: number[] = []
    while (!this.isAtEnd) {
      const value = this.number(size)
      if (value === undefined) return undefined
      values.push(value)
    }
    return values
  }

  /** @returns where it begins */
  #take(length: number): number | undefined {
    if (length > this.#end - this.#at) {
      this.overrun = true
      return undefined
    }
    this.#at += length
    return this.#at - length
  }
}
