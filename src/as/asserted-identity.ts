import { type Impu, parseImpu } from '../core/identity.ts'

/** What the authentication proxy in front of the server vouches for. Worth as much as the way it came: see `createAs`. */
export const ASSERTED_IDENTITY = 'x-3gpp-asserted-identity'

/**
 * Reads a list of identities, each in quotation marks or (as some proxies send them) without.
 * @returns undefined when absent, empty or malformed: then nobody is vouched for
 * @see 3GPP TS 24.109 clause 7.2 (Rel-17)
 */
export function parseAssertedIdentities(header: string | readonly string[] | undefined): readonly Impu[] | undefined {
  const text = typeof header === 'string' ? header : header?.join(',')
  if (text === undefined || text.length > MAX_LENGTH) return undefined
  const identities: Impu[] = []
  let at = 0
  while (at < text.length) {
    ELEMENT.lastIndex = at
    const [whole, quoted, bare] = ELEMENT.exec(text) ?? []
    const impu = parseImpu(quoted ?? bare ?? '')
    if (whole === undefined || impu === undefined) return undefined
    identities.push(impu)
    at += whole.length
  }
  return identities.length > 0 ? identities : undefined
}

const MAX_LENGTH = 8192
const ELEMENT = /[ \t]*(?:"([^"\\]*)"|([^",\\ \t]+))[ \t]*(?:,|$)/y
