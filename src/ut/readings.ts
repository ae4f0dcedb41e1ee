/** How many encodings inside one another are taken off: more than any library puts on by mistake. */
const LAYERS = 5

/** More than any honest text has; who builds a text with more of them is hiding something. */
const MOST = 256

/**
 * Everything that a reader may find in a text by undoing encodings: percent-encoding, base64 in both alphabets, and
 * hexadecimal, each wherever it may begin, and several of them inside one another.
 * @returns the text itself first, octets as characters of U+0000..U+00FF; undefined when there are too many
 */
export function readingsOf(text: string): Iterable<string> | undefined {
  /** With how many layers left each was looked into. */
  const found = new Map<string, number>()
  const unwrap = (outer: string, layers: number): void => {
    if ((found.get(outer) ?? -1) >= layers || found.size > MOST) return
    found.set(outer, layers)
    if (layers === 0) return
    unwrap(percentDecoded(outer), layers - 1)
    for (const octets of [...base64Decoded(outer), ...hexDecoded(outer)]) {
      // What decodes to noise was no encoding, but for octets that were no text in the first place.
      const inner = printable(octets)
      if (inner !== octets && !found.has(octets)) found.set(octets, 0)
      if (inner !== '') unwrap(inner, layers - 1)
    }
  }
  unwrap(text, LAYERS)
  return found.size > MOST ? undefined : found.keys()
}

const percentDecoded = (text: string): string =>
  text.replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))

const printable = (octets: string): string => (octets.match(/[\x20-\x7e]{6,}/g) ?? []).join('\0')

/** Four ways, since nobody knows where in a run of base64 characters an encoding begins. */
function base64Decoded(text: string): string[] {
  const runs = text.match(/[A-Za-z0-9+/_-]{8,}/g)
  if (!runs) return []
  return [0, 1, 2, 3].map((start) =>
    runs.map((run) => Buffer.from(run.slice(start), 'base64').toString('latin1')).join('\0'),
  )
}

function hexDecoded(text: string): string[] {
  const runs = text.match(/[0-9a-f]{12,}/gi)
  if (!runs) return []
  return [0, 1].map((start) => runs.map((run) => Buffer.from(run.slice(start), 'hex').toString('latin1')).join('\0'))
}
