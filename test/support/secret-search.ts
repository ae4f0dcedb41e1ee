/** Octets that must not be found, and what they are called when they are. */
export interface SoughtSecret {
  readonly name: string
  readonly octets: Uint8Array
}

/**
 * Finds secrets in whatever was written down.
 * @returns `NAME, as FORM` for each that is there
 */
export function leaksIn(written: Uint8Array | string, secrets: readonly SoughtSecret[]): string[] {
  const haystack = Buffer.from(written)
  return secrets.flatMap(({ name, octets }) =>
    [...formsOf(octets)].filter(([, form]) => haystack.includes(form)).map(([form]) => `${name}, as ${form}`),
  )
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
