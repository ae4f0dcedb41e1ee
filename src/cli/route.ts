import { type ApPolicy, apPolicyOf } from '../ap-policy.ts'
import { loadConfig } from '../config/load.ts'
import type { Uss } from '../core/guss.ts'
import { headerValues, type RawHeaders } from '../core/headers.ts'
import { type Btid, type Fqdn, type Impu, parseImpu } from '../core/identity.ts'
import { parseIdentityHeader } from '../core/identity-header.ts'
import { Secret } from '../core/secret.ts'
import { GbaError } from '../errors.ts'
import { answersOf, BLAME, FAULT_TEXTS } from '../observe/fault-texts.ts'
import type { Naf, Route } from '../passage.ts'
import { addressedNaf } from '../ua/addressed-naf.ts'
import { requireTolerated } from '../ua/verify.ts'
import { UeError } from '../ue/fault.ts'
import { parseUeUrl, type UeUrl } from '../ue/url.ts'
import { authorise, type Ownership } from '../ut/authorise.ts'
import { inspectIdentityHeaders, type Outgoing, prepare } from '../ut/headers.ts'
import { selectRoute } from '../ut/routes.ts'
import { parseXcapUri, type XcapUri } from '../ut/xcap-uri.ts'
import type { Command, OptionTable } from './command.ts'
import { needed, parseOptions, UsageError, wholeNumber } from './options.ts'

const OPTIONS = {
  config: { type: 'string', short: 'c', takes: 'file' },
  uid: { type: 'string', multiple: true },
  flag: { type: 'string', multiple: true },
  intended: { type: 'string' },
  header: { type: 'string', short: 'H', multiple: true },
} as const satisfies OptionTable

export const command: Command = {
  name: 'route',
  summary: 'say what the proxy would do with a request, without sending it',
  usage: `usage: gba-proxy route --config FILE [OPTION]... METHOD URL

Takes a request through the steps of the proxy, as if its UE were authenticated, and says at each what is decided and
why: NAF, route, application server, rule, and what exactly would be sent. Nothing is sent.

  -c, --config FILE     the configuration (YAML)
      --uid IMPU        an identity of the subscriber, several times (default: the intended one and the XUI of the path)
      --flag NUMBER     an authorisation flag of its user security settings, several times
      --intended ID     X-3GPP-Intended-Identity, in quotation marks unless it has angle brackets or quotation marks
  -H, --header LINE     'Name: value', as the UE sends it, several times

Exit code: 0 it would be forwarded, 1 it would be refused, 2 the command line or the configuration is wrong.

Environment: as for 'gba-proxy serve'.

Examples:
  gba-proxy route -c gba-proxy.yaml GET https://xcap.example.org/resource-lists/users/sip:alice@example.org/index
      which server gets this, under which identity
  gba-proxy route -c gba-proxy.yaml --uid sip:bob@example.org GET https://xcap.example.org/resource-lists/users/sip:alice@example.org/index
      why bob does not get alice's list
`,
  options: OPTIONS,
  positionals: [['GET', 'PUT', 'DELETE', 'HEAD', 'POST']],
  async run(args, { stdout, env }) {
    const { values, positionals } = parseOptions(args, OPTIONS, 2)
    const file = needed(values.config, 'config')
    const [method, url] = positionals
    if (method === undefined || url === undefined) throw new UsageError('which METHOD and URL?')
    const asked: Asked = {
      method,
      url: urlOf(url),
      uids: (values.uid ?? []).map((text) => parseImpu(text) ?? wrong(`--uid takes a SIP or tel URI, not '${text}'`)),
      flags: (values.flag ?? []).map((text) => wholeNumber(text, 'flag', [0, 0xffff_ffff])),
      fields: [
        ...(values.header ?? []).flatMap(fieldOf),
        ...(values.intended === undefined ? [] : ['X-3GPP-Intended-Identity', quoted(values.intended)]),
      ],
    }
    const { ap } = await loadConfig(file, env)
    if (!ap) throw new UsageError(`${file} has no section ap`)
    const { lines, forwarded } = trace(apPolicyOf(ap, A_KEY), asked)
    stdout.write(`${lines.join('\n')}\n`)
    return forwarded ? 0 : 1
  },
}

/** Pseudonyms shown here are of a key of their own: the proxy's is not read for a look. */
const A_KEY = new Secret(new Uint8Array(32))

interface Asked {
  readonly method: string
  readonly url: UeUrl
  readonly uids: readonly Impu[]
  readonly flags: readonly number[]
  /** Name, value, name, value, … */
  readonly fields: RawHeaders
}

/** The steps of the proxy up to where it would send, or to its refusal. */
function trace(policy: ApPolicy, asked: Asked): { readonly lines: readonly string[]; readonly forwarded: boolean } {
  const { method, url, fields } = asked
  const lines: string[] = []
  const say = (step: string, text: string) => lines.push(`${step.padEnd(12)} ${text}`)
  try {
    const headers = ['Host', url.authority, ...fields]
    const sni = url.scheme === 'https' ? url.host : undefined
    const { nafFqdn, naf } = addressedNaf(sni, headerValues(headers, 'host'), policy.nafs)
    say('NAF', nafText(nafFqdn, naf))
    const route = selectRoute(policy.routes, nafFqdn, url.target)
    say('route', routeText(route, policy.routes))
    const { appServer } = route
    const root = appServer.xcapRoot === '' ? '' : `, XCAP root ${appServer.xcapRoot}`
    say('server', `${appServer.name} at ${appServer.url}${root}`)
    const uri = parseXcapUri(url.target, appServer.xcapRoot)
    say('XCAP', xcapText(uri))
    if (!route.methods.includes(method)) throw new GbaError('UT_METHOD_NOT_ALLOWED', `${method} is not let through`)
    say('rule', ruleText(route, uri))
    inspectIdentityHeaders(headers)
    const intended = parseIdentityHeader(headerValues(headers, 'x-3gpp-intended-identity'))
    if (intended === 'malformed') throw new GbaError('UT_IDENTITY_MALFORMED', 'X-3GPP-Intended-Identity')
    const named = intended === 'absent' ? undefined : intended
    if (named?.quirk) {
      requireTolerated([named.quirk], policy.tolerances)
      say('tolerated', named.quirk)
    }
    const assumed = [named?.impu, uri.xui].filter((impu) => impu !== undefined)
    const uids = asked.uids.length > 0 ? asked.uids : assumed
    say(
      'subscriber',
      uids.length === 0
        ? 'has no identity; give --uid'
        : `${asked.uids.length > 0 ? 'has' : 'is assumed to have'} ${[...new Set(uids)].join(', ')}`,
    )
    const grant = authorise(subjectOf(route, uids, asked.flags), uri, method, named?.impu, route.policy)
    say('granted', `acts as ${grant.assertedIdentities.join(', ')}; the tree is ${treeText(uri, grant.ownTree)}`)
    const outgoing = prepare(grant, appServer, headers, { host: url.authority, requestId: '…' })
    lines.push('', ...sentLines(method, outgoing, fields))
    return { lines, forwarded: true }
  } catch (error) {
    if (!(error instanceof GbaError)) throw error
    const { code, message } = error
    const { happened, clause, advice } = FAULT_TEXTS[code]
    say('refused', `${code}: ${message}`)
    lines.push('', happened, `by: ${BLAME[error.fault.by]}; answer: ${answersOf(code)}; ${clause}`, `to do: ${advice}`)
    return { lines, forwarded: false }
  }
}

const nafText = (nafFqdn: Fqdn, { uaProtocolIds }: Naf): string =>
  `${nafFqdn}, Ua security protocol identifiers ${uaProtocolIds.join(', ')}`

const routeText = (route: Route, routes: readonly Route[]): string =>
  `${routes.indexOf(route) + 1} of ${routes.length}: host ${route.host ?? 'any'}, path ${route.pathPrefix}, doors ${route.doors.join(' ')}, methods ${route.methods.join(' ')}`

function xcapText({ auid, tree, xui, documentSelector, nodeSelector }: XcapUri): string {
  const node = nodeSelector === undefined ? '' : `, node ${nodeSelector}`
  return `${auid}, ${tree === 'global' ? 'global tree' : `tree of ${xui}`}, document ${documentSelector}${node}`
}

const RULES: Readonly<Record<Ownership, string>> = {
  owner: 'the own tree only, and the global one for reading',
  'owner-write': 'every tree for reading, the own one for writing',
  'as-decides': 'the application server decides',
}

function ruleText({ policy }: Route, { auid }: XcapUri): string {
  const own = policy.ownershipByAuid?.[auid.toLowerCase()]
  const rule = own ?? policy.ownership
  return `${rule}${own ? ` for ${auid}` : ''}: ${RULES[rule]}; identities by GSID ${policy.gsids.join(', ')}`
}

const treeText = ({ tree }: XcapUri, own: boolean): string =>
  tree === 'global' ? 'the global one' : own ? 'its own' : "another user's"

/** A subscriber whose settings are those of the route's first service. */
function subjectOf({ policy }: Route, uids: readonly Impu[], flags: readonly number[]) {
  const gsid = policy.gsids[0] ?? 0
  const uss: Uss = { gsid, gsType: 0, uids: [...new Set(uids)], flags }
  return { btid: NOBODY, ussList: [uss] }
}

/** Of no run at all. */
const NOBODY = 'AAAAAAAAAAAAAAAAAAAAAA==@bsf.invalid' as Btid

function sentLines(method: string, { target, headers }: Outgoing, fields: RawHeaders): string[] {
  const sent = Object.entries(headers).flatMap(([name, value]) => [value].flat().map((each) => `${name}: ${each}`))
  const names = fields.filter((_, at) => at % 2 === 0)
  const dropped = [...new Set(names.filter((name) => !Object.hasOwn(headers, name.toLowerCase())))]
  const missing = dropped.length === 0 ? [] : ['', `dropped      ${dropped.join(', ')}`]
  return [`${method} ${target} HTTP/1.1`, ...sent, ...missing]
}

function urlOf(text: string): UeUrl {
  try {
    return parseUeUrl(text)
  } catch (error) {
    throw error instanceof UeError ? new UsageError(error.message, { cause: error }) : error
  }
}

function fieldOf(line: string): string[] {
  const [, name, value] = /^([^\s:]+):[ \t]*(.*?)[ \t]*$/.exec(line) ?? []
  return name === undefined || value === undefined
    ? wrong(`--header takes 'Name: value', not '${line}'`)
    : [name, value]
}

const quoted = (identity: string): string => (/^["<]/.test(identity) ? identity : `"${identity}"`)

function wrong(message: string): never {
  throw new UsageError(message)
}
