import { concat } from '../../core/bytes.ts'
import { headerValues } from '../../core/headers.ts'

/** A request as somebody copied it. */
export interface PastedRequest {
  readonly method: string
  /** Undecoded. */
  readonly target: string
  readonly rawHeaders: readonly string[]
  readonly body: Uint8Array
}

const START = /^([A-Z]{1,20}) ([\x21-\x7e]+)(?: HTTP\/\d(?:\.\d)?)?$/

/**
 * Reads a request: request line, header fields, and the body where there is one behind an empty line. From the output
 * of `curl -v` or `gba-proxy ue -v`, whose lines begin with `> `, the last request with credentials is taken; there is
 * no body in it.
 * @returns undefined when there is no request line
 */
export function parsePasted(octets: Uint8Array): PastedRequest | undefined {
  const text = Buffer.from(octets).toString('latin1')
  const traced = text.split(/\r?\n/).flatMap((line) => /^> ?(.*)$/.exec(line)?.[1] ?? [])
  if (!START.test(text.split(/\r?\n/, 1)[0] ?? '') && traced.length > 0) return lastTraced(traced)
  const [head = ''] = text.split(/\r?\n\r?\n/, 1)
  const gap = /^\r?\n\r?\n/.exec(text.slice(head.length))?.[0].length ?? 0
  const request = read(head.split(/\r?\n/))
  return request && { ...request, body: bodyOf(request.rawHeaders, octets.subarray(head.length + gap)) }
}

function lastTraced(lines: readonly string[]): PastedRequest | undefined {
  const starts = lines.flatMap((line, at) => (START.test(line) ? [at] : []))
  const requests = starts.flatMap((start, i) => read(lines.slice(start, starts[i + 1])) ?? [])
  const protectedOnes = requests.filter(({ rawHeaders }) => headerValues(rawHeaders, 'authorization').length > 0)
  const last = protectedOnes.at(-1) ?? requests.at(-1)
  return last && { ...last, body: new Uint8Array() }
}

function read([start = '', ...lines]: readonly string[]): Omit<PastedRequest, 'body'> | undefined {
  const [, method, target] = START.exec(start) ?? []
  if (method === undefined || target === undefined) return undefined
  const end = lines.indexOf('')
  const rawHeaders = (end < 0 ? lines : lines.slice(0, end)).flatMap((line) => {
    const [, name, value] = /^([^\s:]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? []
    return name === undefined || value === undefined ? [] : [name, value]
  })
  return { method, target, rawHeaders }
}

/** Whoever pastes a request adds a line end; only what Content-Length counts was sent. */
function bodyOf(rawHeaders: readonly string[], rest: Uint8Array): Uint8Array {
  const [length] = headerValues(rawHeaders, 'content-length')
  if (length !== undefined && /^\d{1,9}$/.test(length)) return concat(rest.subarray(0, Number(length)))
  return rest.every((octet) => octet === 0x0a || octet === 0x0d) ? new Uint8Array() : concat(rest)
}
