import { GbaError } from '../errors.ts'
import { Likeness } from './likeness.ts'

/** Status and fields of an answer. */
export interface AnswerHead {
  /** 200 to 599: what is informational is read over. */
  readonly status: number
  /** Name, value, name, value, … as they came, without the white space around the values. */
  readonly rawHeaders: readonly string[]
  /** Octets of the body, or of what a GET would have got; undefined: not told. */
  readonly contentLength: number | undefined
  /** No body follows, whatever the fields say: to HEAD, or of 204 and 304. */
  readonly isBodyless: boolean
  /** What it has in common with others of its connection. */
  readonly likeness: Likeness
}

/** And what only the connection has to know. */
export interface ParsedHead extends AnswerHead {
  readonly isChunked: boolean
  /** No other request may follow on this connection: the server says so, or says what no careful server does. */
  readonly isLast: boolean
  /** How long the server keeps the connection when nothing comes; undefined: it does not say. */
  readonly keepAliveMs: number | undefined
}

/**
 * Reads the head of an answer, informational ones too. It takes less than other parsers do, and nothing differently:
 * what two of them could frame in two ways is refused.
 * @param text      one octet a character; from the status line to the empty line, with both
 * @param isForHead whether HEAD was asked
 * @throws GbaError UT_AS_ANSWER_INVALID
 * @see RFC 9112 section 4, section 5, section 6.3 (2022)
 */
export function parseAnswerHead(text: string, isForHead: boolean): ParsedHead {
  if (!text.startsWith('HTTP/1.') || text.charCodeAt(8) !== SP) throw invalidAnswer('no status line')
  const minor = text.charCodeAt(7) - ZERO
  const status = digitAt(text, 9) * 100 + digitAt(text, 10) * 10 + digitAt(text, 11)
  if ((minor !== 0 && minor !== 1) || !(status >= 100 && status <= 599)) throw invalidAnswer('no status that is one')
  // We never ask for another protocol.
  if (status === 101) throw invalidAnswer('status 101')
  if (text.charCodeAt(12) !== SP && text.charCodeAt(12) !== CR) throw invalidAnswer('no status line')
  let at = afterLine(text, skipText(text, 12))

  const rawHeaders: string[] = []
  let contentLength: number | undefined
  let isChunked = false
  let closes = false
  let keeps = false
  let keepAliveMs: number | undefined
  while (text.charCodeAt(at) !== CR) {
    const colon = skipToken(text, at)
    if (colon === at || text.charCodeAt(colon) !== COLON) throw invalidAnswer('a field without a name')
    const start = skipBlanks(text, colon + 1)
    const lineEnd = skipText(text, start)
    let end = lineEnd
    while (end > start && isBlank(text.charCodeAt(end - 1))) end--
    const name = text.slice(at, colon)
    const value = text.slice(start, end)
    rawHeaders.push(name, value)
    at = afterLine(text, lineEnd)
    // Four fields frame the message or concern the connection; no other name is as long as theirs and looked at.
    switch (name.length) {
      case 10: {
        const folded = name.toLowerCase()
        if (folded === 'connection') {
          const options = value.toLowerCase()
          closes ||= CLOSE.test(options)
          keeps ||= KEEP_ALIVE.test(options)
        } else if (folded === 'keep-alive') {
          const seconds = TIMEOUT.exec(value)?.[1]
          if (seconds !== undefined) keepAliveMs = Math.min(keepAliveMs ?? Infinity, Number(seconds) * 1000)
        }
        break
      }
      case 14:
        if (name.toLowerCase() !== 'content-length') break
        // Also when both say the same: who sends it twice may mean either.
        if (contentLength !== undefined || !LENGTH.test(value) || hasTab(text, colon, lineEnd))
          throw invalidAnswer('Content-Length')
        contentLength = Number(value)
        break
      case 17:
        if (name.toLowerCase() !== 'transfer-encoding') break
        if (isChunked || minor === 0 || !CHUNKED.test(value) || hasTab(text, colon, lineEnd))
          throw invalidAnswer('Transfer-Encoding')
        isChunked = true
    }
  }
  if (afterLine(text, at) !== text.length) throw invalidAnswer('octets after the head')
  if (isChunked && contentLength !== undefined) throw invalidAnswer('Content-Length and Transfer-Encoding')
  const isInformational = status < 200
  if (isInformational && (isChunked || contentLength !== undefined || closes || minor === 0)) {
    throw invalidAnswer('an informational answer with a body, or as the last one')
  }

  const isBodyless = isForHead || isInformational || status === 204 || status === 304
  const isUntilClose = !isBodyless && !isChunked && contentLength === undefined
  const promisesNothing = status === 204 && (isChunked || (contentLength ?? 0) > 0)
  const isLast = closes || (minor === 0 && !keeps) || isUntilClose || promisesNothing
  return { status, rawHeaders, contentLength, isBodyless, isChunked, isLast, keepAliveMs, likeness: new Likeness() }
}

/** Whether this is a field line as a head may have it, without its CRLF. @see RFC 9112 section 5 (2022) */
export function isFieldLine(text: string): boolean {
  const colon = skipToken(text, 0)
  return colon > 0 && text.charCodeAt(colon) === COLON && skipText(text, colon + 1) === text.length
}

export const invalidAnswer = (detail: string): GbaError => new GbaError('UT_AS_ANSWER_INVALID', detail)

const CLOSE = /(?:^|[\t ,])close(?:[\t ,]|$)/
const KEEP_ALIVE = /(?:^|[\t ,])keep-alive(?:[\t ,]|$)/
const CHUNKED = /^chunked$/i
const TIMEOUT = /(?:^|[\t ,;])timeout[\t ]*=[\t ]*"?(\d{1,7})/i
/** What a number holds exactly. */
const LENGTH = /^\d{1,15}$/

const HTAB = 0x09
const LF = 0x0a
const CR = 0x0d
const SP = 0x20
const ZERO = 0x30
const COLON = 0x3a

const TOKEN = 1
const TEXT = 2
/** What each octet may stand in; 256 and above, which no octet is, nowhere. */
const CLASS = new Uint8Array(256)
for (let code = 0; code < 256; code++) {
  if (code === HTAB || (code >= SP && code !== 0x7f)) CLASS[code] = TEXT
  if (/[!#$%&'*+.^_`|~0-9A-Za-z-]/.test(String.fromCharCode(code))) CLASS[code] = TEXT | TOKEN
}

const isBlank = (code: number): boolean => code === SP || code === HTAB

/** Allowed around a value, but there are parsers that take it for a part of the value. */
const hasTab = (text: string, from: number, to: number): boolean => text.slice(from, to).includes('\t')

/** NaN where there is no digit. */
function digitAt(text: string, at: number): number {
  const digit = text.charCodeAt(at) - ZERO
  return digit >= 0 && digit <= 9 ? digit : Number.NaN
}

function skipToken(text: string, from: number): number {
  let at = from
  while (((CLASS[text.charCodeAt(at)] ?? 0) & TOKEN) !== 0) at++
  return at
}

function skipText(text: string, from: number): number {
  let at = from
  while (((CLASS[text.charCodeAt(at)] ?? 0) & TEXT) !== 0) at++
  return at
}

function skipBlanks(text: string, from: number): number {
  let at = from
  while (isBlank(text.charCodeAt(at))) at++
  return at
}

/** @returns where the next line begins */
function afterLine(text: string, lineEnd: number): number {
  if (text.charCodeAt(lineEnd) !== CR || text.charCodeAt(lineEnd + 1) !== LF) throw invalidAnswer('a control octet')
  return lineEnd + 2
}
