/** Octets that must not be found, and what they are called when they are. */
export interface SoughtSecret {
  readonly name: string
  readonly octets: Uint8Array
}

/**
 * Finds secrets in whatever was written down: in one pass, since heap snapshots are long and secrets are many.
 * @returns `NAME, as FORM` for each that is there
 */
export function leaksIn(written: Uint8Array | string, secrets: readonly SoughtSecret[]): string[] {
  const haystack = Buffer.from(written)
  const { byStart, mayStart } = indexOf(secrets)
  const found = new Set<string>()
  let start = 0
  for (let end = 0; end < haystack.length; end++) {
    start = ((start << 8) | (haystack[end] ?? 0)) >>> 0
    if (mayStart[bitOf(start)] === 0 || end < START_OCTETS - 1) continue
    const at = end - START_OCTETS + 1
    for (const { called, octets } of byStart.get(start) ?? []) {
      if (haystack.compare(octets, 0, octets.length, at, Math.min(at + octets.length, haystack.length)) === 0) {
        found.add(called)
      }
    }
  }
  return [...found]
}

interface Form {
  readonly called: string
  readonly octets: Buffer
}

/** All forms have more octets than these, by which they are looked up. */
const START_OCTETS = 4

const bitOf = (start: number): number => (start ^ (start >>> 13)) & 0xffff

/** @returns with a table that tells most starts which are none at once */
function indexOf(secrets: readonly SoughtSecret[]) {
  const byStart = new Map<number, Form[]>()
  const mayStart = new Uint8Array(0x1_0000)
  for (const { name, octets } of secrets) {
    for (const [form, written] of formsOf(octets)) {
      const start = written.readUInt32BE(0)
      mayStart[bitOf(start)] = 1
      const forms = byStart.get(start) ?? []
      forms.push({ called: `${name}, as ${form}`, octets: written })
      byStart.set(start, forms)
    }
  }
  return { byStart, mayStart }
}

/** All the ways in which octets usually get into files: as they are, and as programs print them. */
export function formsOf(octets: Uint8Array): ReadonlyMap<string, Buffer> {
  const own = Buffer.from(octets)
  const hex = own.toString('hex')
  const pairs = hex.match(/../g) ?? []
  const texts: Record<string, string> = {
    hex,
    'capital hex': hex.toUpperCase(),
    // Node's inspect, and openssl's.
    'spaced hex': pairs.join(' '),
    'hex with colons': pairs.join(':').toUpperCase(),
    'JSON numbers': [...own].join(','),
  }
  // Where they stand among others, base64 shows them in one of three ways, but for what their neighbours share.
  for (const encoding of ['base64', 'base64url'] as const) {
    for (const lead of [0, 1, 2]) {
      const text = Buffer.concat([Buffer.alloc(lead), own]).toString(encoding)
      const first = Math.ceil((lead * 8) / 6)
      const last = Math.floor(((lead + own.length) * 8) / 6)
      texts[`${encoding}${lead === 0 ? '' : ` from octet ${lead}`}`] = text.slice(first, last)
    }
  }
  return new Map([
    ['raw octets', own],
    ...Object.entries(texts).map(([form, text]) => [form, Buffer.from(text, 'latin1')] as const),
  ])
}
