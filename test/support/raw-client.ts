import { connect as connectTcp, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls, TLSSocket } from 'node:tls'

/** Where a raw connection goes; with `tls`, the name in SNI, the CA that vouches for it, and what else matters. */
export interface RawTarget {
  readonly port: number
  /** Address that it comes from, one of 127.0.0.0/8. */
  readonly from?: string
  readonly tls?: ConnectionOptions & { readonly servername: string; readonly ca: Buffer }
  /** How long it may last; 20 s by default. */
  readonly limitMs?: number
}

export interface RawAnswer {
  readonly status: number
  /** Name in lower case, and value, line by line. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
  values(name: string): string[]
  header(name: string): string | undefined
}

export interface RawConnection {
  readonly socket: Socket
  write(octets: string | Uint8Array): void
  /**
   * The next answer, whole: framed by Content-Length or chunks, or ended by a regular close.
   * @param method of the request that is answered: an answer to HEAD has no body
   * @throws Error when the connection ends within it
   */
  answer(method?: string): Promise<RawAnswer>
  /** Resolves once the server has closed or reset. */
  readonly closed: Promise<void>
  /** What came and was not yet taken as an answer. */
  pending(): Buffer
  close(): void
}

/** A connection that sends exactly the octets it is given: no client normalises them. */
export async function rawConnect({ port, tls, from, limitMs = 20_000 }: RawTarget): Promise<RawConnection> {
  const place = { host: '127.0.0.1', port, ...(from !== undefined && { localAddress: from }) }
  const socket = tls ? connectTls({ ...place, ...tls }) : connectTcp(place)
  await new Promise<void>((resolve, reject) => {
    socket.once(tls ? 'secureConnect' : 'connect', resolve)
    socket.once('error', reject)
  })
  // a test that fails leaves it open, and no server of the lab would ever end
  const limit = setTimeout(() => socket.destroy(), limitMs).unref()
  socket.once('close', () => clearTimeout(limit))
  let buffered = Buffer.alloc(0)
  let ended: 'regular' | 'reset' | undefined
  let wake = () => {}
  socket.on('data', (part) => {
    buffered = Buffer.concat([buffered, part])
    wake()
  })
  const closed = new Promise<void>((resolve) => {
    const end = (how: 'regular' | 'reset') => () => {
      ended ??= how
      wake()
      resolve()
    }
    socket.on('end', end('regular'))
    socket.on('error', end('reset'))
    socket.on('close', end('reset'))
  })
  return {
    socket,
    closed,
    write: (octets) => void (socket.writable && socket.write(octets)),
    pending: () => buffered,
    async answer(method = 'GET') {
      for (;;) {
        const parsed = parseAnswer(buffered, method, ended === 'regular')
        if (parsed) {
          buffered = buffered.subarray(parsed.length)
          return parsed.answer
        }
        if (ended) throw new Error(`the connection ended within an answer: ${buffered.toString('latin1', 0, 300)}`)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },
    close: () => socket.destroy(),
  }
}

/** One request on a connection of its own. */
export async function rawExchange(target: RawTarget, octets: string | Uint8Array, method?: string): Promise<RawAnswer> {
  const connection = await rawConnect(target)
  try {
    connection.write(octets)
    return await connection.answer(method)
  } finally {
    connection.close()
  }
}

/** Request octets: the head as given, then the body. */
export const requestOctets = (line: string, headers: readonly string[], body: string | Uint8Array = ''): Buffer =>
  Buffer.concat([Buffer.from(`${[line, ...headers].join('\r\n')}\r\n\r\n`, 'latin1'), Buffer.from(body)])

/** The IANA name of the suite, as Ks_NAF needs it. */
export const suiteOf = ({ socket }: RawConnection): string =>
  socket instanceof TLSSocket ? socket.getCipher().standardName : ''

interface Parsed {
  readonly answer: RawAnswer
  readonly length: number
}

function parseAnswer(octets: Buffer, method: string, ended: boolean): Parsed | undefined {
  const headEnd = octets.indexOf('\r\n\r\n')
  if (headEnd < 0) return undefined
  const [line = '', ...fields] = octets.toString('latin1', 0, headEnd).split('\r\n')
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(line)?.[1])
  if (!status) throw new Error(`not a status line: ${line}`)
  const start = headEnd + 4
  if (status < 200) {
    const next = parseAnswer(octets.subarray(start), method, ended)
    return next && { answer: next.answer, length: start + next.length }
  }
  const headers = fields.map((field) => {
    const colon = field.indexOf(':')
    return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()] as const
  })
  const values = (name: string) => headers.filter(([field]) => field === name).map(([, value]) => value)
  const body = bodyOf(octets.subarray(start), status, method, ended, values)
  if (!body) return undefined
  return {
    answer: { status, headers, body: body.content, values, header: (name) => values(name)[0] },
    length: start + body.length,
  }
}

function bodyOf(
  octets: Buffer,
  status: number,
  method: string,
  ended: boolean,
  values: (name: string) => string[],
): { readonly content: Buffer; readonly length: number } | undefined {
  if (method === 'HEAD' || status === 204 || status === 304) return { content: Buffer.alloc(0), length: 0 }
  if (values('transfer-encoding').length > 0) return dechunked(octets)
  const [length] = values('content-length')
  if (length === undefined) return ended ? { content: octets, length: octets.length } : undefined
  const size = Number(length)
  return octets.length < size ? undefined : { content: octets.subarray(0, size), length: size }
}

function dechunked(octets: Buffer): { readonly content: Buffer; readonly length: number } | undefined {
  const parts: Buffer[] = []
  for (let at = 0; ; ) {
    const lineEnd = octets.indexOf('\r\n', at)
    if (lineEnd < 0) return undefined
    const size = Number.parseInt(octets.toString('latin1', at, lineEnd), 16)
    const end = lineEnd + 2 + size + 2
    if (octets.length < end) return undefined
    if (size === 0) return { content: Buffer.concat(parts), length: end }
    parts.push(octets.subarray(lineEnd + 2, end - 2))
    at = end
  }
}
