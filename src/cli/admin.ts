import { readFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { request as requestByTls } from 'node:https'
import type { SecureContextOptions } from 'node:tls'
import { ADMIN, adminBase } from './admin-place.ts'
import type { Command, OptionTable, Output } from './command.ts'
import { parseOptions, UsageError } from './options.ts'

const OPTIONS = {
  config: { type: 'string', short: 'c', takes: 'file' },
  url: { type: 'string' },
  cert: { type: 'string', takes: 'file' },
  key: { type: 'string', takes: 'file' },
  cacert: { type: 'string', takes: 'file' },
  json: { type: 'boolean', default: false },
  impu: { type: 'string' },
  btid: { type: 'string' },
  all: { type: 'boolean', default: false },
  since: { type: 'string' },
  code: { type: 'string' },
  event: { type: 'string' },
} as const satisfies OptionTable

const ACTIONS = ['bootstraps', 'bootstrap', 'drop', 'rebootstrap', 'subscriber', 'routes', 'refusals', 'tail'] as const

export const command: Command = {
  name: 'admin',
  summary: 'look at subscribers of a running gba-proxy, and change what is kept of them',
  usage: `usage: gba-proxy admin bootstraps IMPI | bootstrap BTID | drop BTID | subscriber IMPI [OPTION]...
       gba-proxy admin rebootstrap --impu IMPU | --btid BTID | --all [OPTION]...
       gba-proxy admin routes | refusals | tail [OPTION]...

Asks the admin listener, which answers this host, or whoever shows a certificate of its CA; it records each call.
With workers it asks all of them: 'workers' in the answer names those that are missing from it.
Identities in answers are pseudonyms as in the log, unless you named them; a pseudonym stands for an IMPI or B-TID, too.

  bootstraps IMPI   the live bootstraps of a subscriber, as far as this host made them
  bootstrap BTID    one bootstrap
  drop BTID         the BSF forgets it, and the proxy its keys: the UE gets 401 and bootstraps anew
  rebootstrap       bootstraps made before an instant hold no more; the demand goes into ap.rebootstrapFile, or, where
                    that is not set, stays in memory until gba-proxy serve ends
  subscriber IMPI   SQN, live bootstraps and last refusals
  routes            as they are in use
  refusals          the last ones that name a subscriber
  tail              decisions as they are made, a line of JSON each

  -c, --config FILE   the configuration, whose section admin says where to ask (default: ${ADMIN.host}:${ADMIN.port})
      --url URL       ask there instead; http or https
      --cert FILE     client certificate (PEM); with --config it is asked by https then
      --key FILE      its key (PEM)
      --cacert FILE   CA of the listener's certificate (PEM)
      --json          print the answer as it came
      --impu IMPU     with rebootstrap: the subscriber with this public identity
      --btid BTID     with rebootstrap: this bootstrap
      --all           with rebootstrap: everybody
      --since TIME    with rebootstrap: 2026-01-31T12:00:00Z (default: now)
      --code CODE     with tail and refusals: this fault code only
      --event EVENT   with tail and refusals: this event only

Exit code: 0 done, 1 refused, or no answer, 2 the command line, a file of it or the configuration is wrong, 3 there is
no such thing, 130 broken off (a tail: 0).

Examples:
  gba-proxy admin subscriber alice@ims.example.org
      SQN, bootstraps and last refusals
  gba-proxy admin drop 'I1U8vpY3qJ0hiuZNrke/NQ==@bsf.example.org'
      the UE has to bootstrap anew
  gba-proxy admin tail --code UA_RESPONSE_WRONG
      wrong responses as they come
`,
  options: OPTIONS,
  positionals: [ACTIONS],
  async run(args, { env, signal, stderr, stdout }) {
    const { positionals, values } = parseOptions(args, OPTIONS, 2)
    const call = callOf(positionals, values)
    if (values.url !== undefined && values.config !== undefined) throw new UsageError('--url or --config, not both')
    const base = values.url === undefined ? await adminBase(values.config, env) : urlOf(values.url)
    const url = new URL(call.path, base)
    if (values.cert !== undefined && values.config !== undefined) url.protocol = 'https:'
    const tls = tlsOf(values)
    const silence = new AbortController()
    const late = setTimeout(() => silence.abort(), ANSWER_WITHIN_MS)
    try {
      const answer = await send(url, call, tls, AbortSignal.any([signal, silence.signal]))
      if (call.isFollowed && answer.statusCode === 200) {
        clearTimeout(late)
        for await (const part of answer) stdout.write(part as Uint8Array)
        return 0
      }
      const text = await textOf(answer)
      if (answer.statusCode !== undefined && answer.statusCode < 300) {
        if (values.json) stdout.write(`${text}\n`)
        else print(JSON.parse(text), stdout)
        return 0
      }
      stderr.write(`gba-proxy admin: ${answer.statusCode}${reasonIn(text)}\n`)
      return answer.statusCode === 404 ? 3 : 1
    } catch (error) {
      if (signal.aborted) return brokenOff(call, stderr)
      stderr.write(
        `gba-proxy admin: ${url.origin} ${silence.signal.aborted ? SILENT : failureOf(error, url, values)}\n`,
      )
      return 1
    } finally {
      clearTimeout(late)
    }
  },
}

interface Call {
  readonly method: 'GET' | 'DELETE' | 'POST'
  readonly path: string
  readonly body?: string
  readonly isFollowed?: boolean
}

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>['values']

/** @throws UsageError */
function callOf([action, whom, ...more]: readonly string[], { all, btid, code, event, impu, since }: Values): Call {
  const needsName = action === 'bootstraps' || action === 'bootstrap' || action === 'drop' || action === 'subscriber'
  if (needsName !== (whom !== undefined) || more.length > 0) {
    throw new UsageError(needsName ? `${action} whom?` : action === undefined ? 'what?' : `${action} takes no name`)
  }
  const name = encodeURIComponent(whom ?? '')
  const filter = new URLSearchParams({ ...(code !== undefined && { code }), ...(event !== undefined && { event }) })
  switch (action) {
    case 'bootstraps':
      return { method: 'GET', path: `/admin/bootstraps?impi=${name}` }
    case 'bootstrap':
      return { method: 'GET', path: `/admin/bootstraps/${name}` }
    case 'drop':
      return { method: 'DELETE', path: `/admin/bootstraps/${name}` }
    case 'subscriber':
      return { method: 'GET', path: `/admin/subscribers/${name}` }
    case 'routes':
      return { method: 'GET', path: '/admin/routes' }
    case 'refusals':
      return { method: 'GET', path: `/admin/decisions?${filter}` }
    case 'tail':
      filter.set('follow', '1')
      return { method: 'GET', path: `/admin/decisions?${filter}`, isFollowed: true }
    case 'rebootstrap': {
      if ([impu !== undefined, btid !== undefined, all].filter(Boolean).length !== 1) {
        throw new UsageError('rebootstrap takes exactly one of --impu, --btid and --all')
      }
      const body = JSON.stringify({ impu, btid, ...(all && { all }), since })
      return { method: 'POST', path: '/admin/rebootstrap', body }
    }
    default:
      throw new UsageError(`'${action}' is none of ${ACTIONS.join(', ')}`)
  }
}

function urlOf(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') throw new UsageError(`--url takes a URL, not '${text}'`)
  return url
}

const ANSWER_WITHIN_MS = 10_000
const SILENT = `did not answer within ${ANSWER_WITHIN_MS / 1000} s`

/** An end by SIGINT, as a shell has it, but for what has no other end. */
function brokenOff({ isFollowed, method }: Call, stderr: Output): number {
  if (isFollowed) return 0
  if (method !== 'GET') stderr.write('gba-proxy admin: broken off; what was asked for may be done all the same\n')
  return 130
}

function failureOf(error: unknown, { protocol }: URL, { cert }: Values): string {
  const reason = error instanceof Error ? ('code' in error ? String(error.code) : error.name) : String(error)
  const hint = protocol === 'https:' && cert === undefined ? '; it needs a certificate: --cert and --key' : ''
  return `does not answer (${reason})${hint}`
}

type Tls = Pick<SecureContextOptions, 'ca' | 'cert' | 'key'>

/** @throws UsageError naming a file that cannot be read */
function tlsOf({ cacert, cert, key }: Values): Tls {
  const file = (option: string, path: string | undefined) => {
    try {
      return path === undefined ? undefined : readFileSync(path)
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException
      throw new UsageError(`--${option}: ${path} cannot be read (${code})`, { cause })
    }
  }
  return { ca: file('cacert', cacert), cert: file('cert', cert), key: file('key', key) }
}

function send(url: URL, call: Call, tls: Tls, signal: AbortSignal): Promise<IncomingMessage> {
  const { body, method } = call
  const headers = { 'x-requested-with': 'gba-proxy', ...(body !== undefined && { 'content-type': 'application/json' }) }
  return new Promise((resolve, reject) => {
    const options = { method, headers, signal, agent: false, ...(url.protocol === 'https:' && tls) }
    const sent = (url.protocol === 'https:' ? requestByTls : request)(url, options, resolve)
    sent.once('error', reject)
    sent.end(body)
  })
}

async function textOf(answer: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of answer) parts.push(part as Buffer)
  return Buffer.concat(parts).toString()
}

function reasonIn(text: string): string {
  try {
    const { detail, title } = JSON.parse(text)
    return ` ${detail ?? title ?? ''}`.trimEnd()
  } catch {
    return ''
  }
}

/** A line for each value; what is a list has a line for each of its items. */
function print(answer: Readonly<Record<string, unknown>>, stdout: Output): void {
  for (const [name, value] of Object.entries(answer)) {
    if (!Array.isArray(value)) stdout.write(`${name}: ${typeof value === 'object' ? fieldsOf(value) : String(value)}\n`)
    else {
      stdout.write(`${name}: ${value.length}\n`)
      for (const item of value) stdout.write(`  ${fieldsOf(item)}\n`)
    }
  }
}

/** JSON keeps control characters off a terminal. */
const fieldsOf = (fields: unknown): string =>
  Object.entries(fields ?? {})
    .map(
      ([name, value]) =>
        `${name}=${typeof value === 'string' && /^[\x21-\x7e]+$/.test(value) ? value : JSON.stringify(value)}`,
    )
    .join(' ')
