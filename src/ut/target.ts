import { GbaError } from '../errors.ts'

/** As long as a request line may reasonably be; longer ones are refused before anything looks into them. */
const MAX_TARGET = 8192

/**
 * Refuses every request target that two parsers could read differently, so that what is authorised here is what the
 * application server acts on: anything but origin-form, empty or dot segments, backslashes, fragments, control and
 * non-ASCII octets, malformed, double, overlong or needless escapes, escaped delimiters of a path.
 * Deviation: `[` and `]` are taken unescaped in the path, though RFC 3986 wants them escaped: XCAP clients write node
 * selectors as they read (2026), and no parser changes them.
 * Reading: a second `?` belongs to the query (RFC 3986 clause 3.4); a `'` in a query is refused, because URL classes
 * escape it there and so forward another target.
 * @param target  as received
 * @returns path, and query where there is a `?`, both undecoded
 * @throws GbaError UT_TARGET_AMBIGUOUS
 * @see RFC 3986 clause 3.3
 */
export function requireUnambiguous(target: string): { readonly path: string; readonly query?: string } {
  if (target.length > MAX_TARGET) ambiguous('target too long')
  if (PLAIN_PATH.test(target)) return { path: target }
  const mark = target.indexOf('?')
  const path = mark < 0 ? target : target.slice(0, mark)
  if (!PATH.test(path)) ambiguous('not a path of RFC 3986 characters')
  for (const segment of path.split('/').slice(1)) decodeSegment(segment)
  if (mark < 0) return { path }
  const query = target.slice(mark + 1)
  if (!QUERY.test(query) || ESCAPED_CONTROL.test(query)) ambiguous('not a query of RFC 3986 characters')
  decodeUtf8(query)
  return { path, query }
}

/**
 * The one reading of a path segment, percent-escapes resolved.
 * @throws GbaError UT_TARGET_AMBIGUOUS when there is more than one
 */
export function decodeSegment(segment: string): string {
  if (PLAIN_SEGMENT.test(segment)) return segment
  if (REFUSED_ESCAPE.test(segment)) ambiguous('escaped letter, digit, dot, slash, backslash, percent sign or control')
  const text = decodeUtf8(segment)
  if (/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text)) ambiguous('control or invisible character')
  // Servlet containers cut each segment at `;` before they look what it is; file systems drop a dot or space at its end.
  const [name = ''] = text.split(';', 1)
  if (name === '') ambiguous('empty segment')
  if (name === '~~' && segment !== '~~') ambiguous('~~ in another spelling')
  // Some forwarders look for two dots beside a slash, not for a segment of two dots.
  if (text.startsWith('..') || [name, text].some((end) => /[. ]$/.test(end))) ambiguous('dots or spaces beside a slash')
  if (structureOf(text.normalize('NFKC')) !== structureOf(text)) ambiguous('look-alike of a delimiter')
  return text
}

export function ambiguous(detail: string): never {
  throw new GbaError('UT_TARGET_AMBIGUOUS', detail)
}

const ESCAPE = '%[0-9A-Fa-f]{2}'
const PCHAR = String.raw`A-Za-z0-9\-._~!$&()*+,;=:@`
/** What most segments are: nothing to decode, no parameter, no tilde, and no dot at either end. */
const PLAIN = String.raw`(?!\.)[A-Za-z0-9\-._!$&'()*+,=:@]+(?<!\.)`
const PLAIN_SEGMENT = new RegExp(`^${PLAIN}$`)
const PLAIN_PATH = new RegExp(String.raw`^(?:\/${PLAIN})+$`)

const PATH = new RegExp(String.raw`^(?:\/(?:[${PCHAR}'\[\]]|${ESCAPE})+)+$`)
const QUERY = new RegExp(`^(?:[${PCHAR}/?]|${ESCAPE})+$`)
const ESCAPED_CONTROL = /%(?:[01]|7f)/i

/** No encoder escapes letters, digits or dots; the others are delimiters, controls, or the start of a second decoding. */
const REFUSED_ESCAPE = /%(?:[01]|2[5ef]|3[0-9]|4[1-9a-f]|5[0-9ac]|6[1-9a-f]|7[0-9af])/i

function decodeUtf8(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    return ambiguous('not UTF-8')
  }
}

/** The characters by which some parser takes a path apart, in their order. */
function structureOf(text: string): string {
  return text.replace(/[^/\\.;?#%~]/g, '')
}
