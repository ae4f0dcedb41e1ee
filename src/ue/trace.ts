import type { HeaderList, UeExchange } from './message.ts'

/** One exchange in curl's manner: `*` for what is known about it, `>` for what went out, `<` for what came. */
export function formatExchange({ interface: point, from, to, host, connection, ...exchange }: UeExchange): string {
  const { request, response, note } = exchange
  const { version, suite, psk } = connection.tls ?? {}
  const tls = connection.tls ? `${version}, ${suite}${psk ? ', by the bootstrapped key' : ''}` : 'no TLS'
  return [
    `* ${point}  ${from} -> ${to}  ${host} (${tls})`,
    ...message('>', `${request.method} ${request.target} HTTP/1.1`, request.headers, request.body, point === 'Ub'),
    ...message('<', `HTTP/1.1 ${response.status} ${response.reason}`, response.headers, response.body, point === 'Ub'),
    `* ${note}`,
    '',
  ].join('\n')
}

function message(mark: string, start: string, headers: HeaderList, body: Uint8Array, inFull: boolean): string[] {
  const text = Buffer.from(body).toString('utf8').trimEnd()
  const content = body.length === 0 ? [] : inFull ? text.split('\n') : [`[${body.length} octets]`]
  return [start, ...headers.map(([name, value]) => `${name}: ${value}`), '', ...content].map((line) =>
    `${mark} ${line}`.trimEnd(),
  )
}
