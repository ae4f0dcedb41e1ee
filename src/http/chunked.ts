import { invalidAnswer, isFieldLine } from './answer-head.ts'

/**
 * Takes the chunks of one body apart, however they are split over reads. Extensions and trailers are read, bounded
 * together, and dropped: nobody here asked for any.
 * @see RFC 9112 section 7.1 (2022)
 */
export class ChunkDecoder {
  #state: State = SIZE
  /** Size of the chunk as far as it was read, then what is left of it. */
  #size = 0
  #digits = 0
  /** Extension or trailer line as far as it was read. */
  #line = ''
  #overhead = 0
  readonly #maxOverhead: number
  /** Where the octets after the body begin, in what was decoded last; only once `isDone`. */
  end = 0

  constructor(maxOverhead: number) {
    this.#maxOverhead = maxOverhead
  }

  get isDone(): boolean {
    return this.#state === DONE
  }

  /**
   * Moves the content of the chunks in `octets` together, from `from` on.
   * @param from   where the chunks begin or go on
   * @param length where the octets end
   * @returns where the content ends
   * @throws GbaError UT_AS_ANSWER_INVALID
   */
  decode(octets: Buffer, from: number, length: number): number {
    let at = from
    let to = from
    while (at < length && this.#state !== DONE) {
      if (this.#state === DATA) {
        const size = Math.min(this.#size, length - at)
        if (to !== at) octets.copyWithin(to, at, at + size)
        at += size
        to += size
        this.#size -= size
        if (this.#size === 0) this.#state = DATA_CR
      } else {
        this.#step(octets[at++] ?? 0)
      }
    }
    this.end = at
    return to
  }

  #step(octet: number): void {
    switch (this.#state) {
      case SIZE: {
        const digit = HEX[octet] ?? NO_DIGIT
        if (digit !== NO_DIGIT) {
          if (++this.#digits > 8) throw invalidAnswer('a chunk size of more than eight digits')
          this.#size = this.#size * 16 + digit
        } else if (this.#digits > 0 && octet === CR) {
          this.#state = SIZE_LF
        } else if (this.#digits > 0 && octet === SEMICOLON) {
          this.#lengthen(octet)
          this.#state = EXTENSION
        } else {
          throw invalidAnswer('a chunk without a size')
        }
        return
      }
      case EXTENSION:
        if (octet !== CR) this.#lengthen(octet)
        else if (!EXTENSIONS.test(this.#line)) throw invalidAnswer('a chunk extension')
        else this.#state = SIZE_LF
        return
      case SIZE_LF:
        if (octet !== LF) throw invalidAnswer('a chunk size without its end')
        this.#line = ''
        this.#digits = 0
        this.#state = this.#size === 0 ? TRAILER : DATA
        return
      case DATA_CR:
      case DATA_LF:
        if (octet !== (this.#state === DATA_CR ? CR : LF)) throw invalidAnswer('a chunk without its end')
        this.#state = this.#state === DATA_CR ? DATA_LF : SIZE
        return
      default:
        if (octet === LF) this.#endTrailerLine()
        else this.#lengthen(octet)
    }
  }

  #endTrailerLine(): void {
    const line = this.#line
    this.#line = ''
    if (!line.endsWith('\r')) throw invalidAnswer('a trailer without its end')
    if (line === '\r') this.#state = DONE
    // What frames a message and comes after it would be read by some.
    else if (!isFieldLine(line.slice(0, -1)) || FRAMING.test(line)) throw invalidAnswer('a trailer')
  }

  #lengthen(octet: number): void {
    if (++this.#overhead > this.#maxOverhead) throw invalidAnswer('too much around the chunks')
    this.#line += String.fromCharCode(octet)
  }
}

const SIZE = 0
const EXTENSION = 1
const SIZE_LF = 2
const DATA = 3
const DATA_CR = 4
const DATA_LF = 5
const TRAILER = 6
const DONE = 7
type State = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7

const LF = 0x0a
const CR = 0x0d
const SEMICOLON = 0x3b

const NO_DIGIT = 16
const HEX = new Uint8Array(256).fill(NO_DIGIT)
for (const digit of '0123456789abcdefABCDEF') HEX[digit.charCodeAt(0)] = Number.parseInt(digit, 16)

const NAME = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const QUOTED = '"(?:[\\t \\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t \\x21-\\x7e\\x80-\\xff])*"'
const EXTENSIONS = new RegExp(`^(?:;${NAME}(?:=(?:${NAME}|${QUOTED}))?)+$`)
const FRAMING = /^(?:content-length|transfer-encoding):/i
