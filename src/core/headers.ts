import { Memo } from './memo.ts'

/** Header lines as they were received: name, value, name, value, … (Node's `rawHeaders`). */
export type RawHeaders = readonly string[]

/** Every value of one header, line by line; nothing is joined, so that a repeated line stays visible. */
export function headerValues(raw: RawHeaders, name: string): string[] {
  const values: string[] = []
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const its = raw[i] ?? ''
    // No letter that becomes one of ASCII changes its length thereby.
    if (its.length === name.length && its.toLowerCase() === name) values.push(raw[i + 1] ?? '')
  }
  return values
}

/** Product tokens of a User-Agent or Server header. @see 3GPP TS 24.109 Annex A.3 (Rel-17) */
export const productTokens = (value: string | undefined): ReadonlySet<string> => TOKENS_OF.of(value ?? '')

/** One kind of client writes one text. */
const TOKENS_OF = new Memo<ReadonlySet<string>>(
  // Deviation: 3GPP's own example separates products by semicolons, which RFC 9110 does not.
  (value) => new Set(value.split(/[\s;,]+/).filter((token) => token !== '')),
  { most: 1_000, longest: 256 },
)
