import { get } from 'node:http'
import { get as getByTls } from 'node:https'
import { ADMIN, adminBase } from './admin-place.ts'
import type { Command, OptionTable } from './command.ts'
import { parseOptions, UsageError } from './options.ts'

const OPTIONS = {
  config: { type: 'string', short: 'c', takes: 'file' },
  url: { type: 'string' },
  ready: { type: 'boolean', default: false },
  timeout: { type: 'string', short: 't', default: '3' },
} as const satisfies OptionTable

export const command: Command = {
  name: 'health',
  summary: 'ask a running gba-proxy whether it lives, or is ready',
  usage: `usage: gba-proxy health [OPTION]...

Asks the admin listener of a process on this host, for health checks of containers and load balancers.

  -c, --config FILE       the configuration, whose section admin says where to ask (default: ${ADMIN.host}:${ADMIN.port})
      --url URL           ask there instead; http or https
      --ready             whether it would serve now (/ready); else whether it lives (/live)
  -t, --timeout SECONDS   how long the answer may take (default: 3)

Prints what was answered, if anything.

Exit code: 0 it is well (status 2xx), 1 it is not, or does not answer, 2 the command line or the configuration is wrong.

Examples:
  gba-proxy health
      0 while the process lives
  gba-proxy health --ready --config /etc/gba-proxy/gba-proxy.yaml
      0 while it would serve; 1 while it stops, or misses what it depends on
`,
  options: OPTIONS,
  async run(args, { stdout, stderr, env }) {
    const { values } = parseOptions(args, OPTIONS)
    const timeoutMs = millisecondsOf(values.timeout)
    if (values.url !== undefined && (values.config !== undefined || values.ready)) {
      throw new UsageError('--url says it all; it does not go with --config or --ready')
    }
    const url =
      values.url === undefined
        ? new URL(values.ready ? '/ready' : '/live', await adminBase(values.config, env))
        : urlOf(values.url)
    try {
      const { status, text } = await answerOf(url, timeoutMs)
      stdout.write(text.endsWith('\n') || text === '' ? text : `${text}\n`)
      if (status >= 200 && status < 300) return 0
      stderr.write(`gba-proxy health: ${url.href} answers ${status}\n`)
    } catch (error) {
      stderr.write(`gba-proxy health: ${url.href} does not answer (${reasonOf(error)})\n`)
    }
    return 1
  },
}

function urlOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') throw new UsageError(`--url takes a URL, not '${text}'`)
  return url
}

function millisecondsOf(text: string): number {
  const ms = /^\d{1,4}(?:\.\d{1,3})?$/.test(text) ? Math.round(Number(text) * 1000) : 0
  if (ms <= 0) throw new UsageError(`--timeout takes seconds, not '${text}'`)
  return ms
}

/** Whoever answers is on this host and ours; still, not without end. */
const MOST_OCTETS = 65_536

function answerOf(url: URL, timeoutMs: number): Promise<{ readonly status: number; readonly text: string }> {
  const signal = AbortSignal.timeout(timeoutMs)
  return new Promise((resolve, reject) => {
    const ask = url.protocol === 'https:' ? getByTls : get
    const request = ask(url, { signal, agent: false }, (response) => {
      const chunks: Buffer[] = []
      let octets = 0
      response.on('data', (chunk: Buffer) => {
        octets += chunk.length
        if (octets <= MOST_OCTETS) chunks.push(chunk)
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }))
      response.on('error', reject)
    })
    request.on('error', reject)
  })
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}
