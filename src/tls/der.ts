/** One element of DER: its identifier octet, its content, and both with the length between. */
export interface DerElement {
  readonly tag: number
  readonly content: Uint8Array
  readonly whole: Uint8Array
}

/**
 * The elements that these octets are, one behind the other, without what is inside them. It serves files of the
 * operator, whose signatures somebody else checks: no more than a few fields are looked up in them.
 * @returns undefined where the octets do not come out even, or use what DER and its users do without
 */
export function readDer(octets: Uint8Array): DerElement[] | undefined {
  const elements: DerElement[] = []
  let at = 0
  while (at < octets.length) {
    const [tag, first] = octets.subarray(at, at + 2)
    // Tags over 30 take more octets, and nothing that is read here has one.
    if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) return undefined
    const lengthOctets = first < 0x80 ? 0 : first - 0x80
    const start = at + 2 + lengthOctets
    // 0x80 is BER's unknown length.
    if (first === 0x80 || lengthOctets > 4 || start > octets.length) return undefined
    const length =
      lengthOctets === 0 ? first : octets.subarray(at + 2, start).reduce((value, octet) => value * 256 + octet, 0)
    const end = start + length
    if (end > octets.length) return undefined
    elements.push({ tag, content: octets.subarray(start, end), whole: octets.subarray(at, end) })
    at = end
  }
  return elements
}

export const SEQUENCE = 0x30
export const INTEGER = 0x02
export const OCTET_STRING = 0x04
export const ENUMERATED = 0x0a

/** The elements inside the one element of this tag; undefined where it is another, or malformed. */
export function readDerInside(element: DerElement | undefined, tag: number = SEQUENCE): DerElement[] | undefined {
  return element?.tag === tag ? readDer(element.content) : undefined
}

/**
 * UTCTime or GeneralizedTime, in the form that certificates and what belongs to them may use: to the second, in UTC.
 * @returns epoch milliseconds
 * @see RFC 5280 section 4.1.2.5 (2008)
 */
export function readDerTime(element: DerElement | undefined): number | undefined {
  const pattern = element && TIMES[element.tag]
  const found = pattern?.exec(Buffer.from(element?.content ?? []).toString('latin1'))
  if (!found) return undefined
  const [year = 0, month = 0, day = 0, hours = 0, minutes = 0, seconds = 0] = found.slice(1).map(Number)
  const fullYear = found[1]?.length === 4 ? year : year + (year < 50 ? 2000 : 1900)
  const time = Date.UTC(fullYear, month - 1, day, hours, minutes, seconds)
  // A day that does not exist would become another one.
  return new Date(time).getUTCDate() === day && new Date(time).getUTCHours() === hours ? time : undefined
}

const UTC_TIME = 0x17
const GENERALIZED_TIME = 0x18
const TIMES: Readonly<Record<number, RegExp>> = {
  [UTC_TIME]: /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/,
  [GENERALIZED_TIME]: /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/,
}
