import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { toHex, utf8 } from '../core/bytes.ts'
import { parseAuthorization } from '../core/digest-header.ts'
import { headerValues } from '../core/headers.ts'
import { type Impu, parseFqdn } from '../core/identity.ts'
import { parseIdentityHeader } from '../core/identity-header.ts'
import { parseUaProtocolId, UA_HTTP_DIGEST, type UaProtocolId, uaProtocolIdOfSuite } from '../core/naf-id.ts'
import { FAULTS } from '../errors.ts'
import { answersOf, BLAME, FAULT_TEXTS } from '../observe/fault-texts.ts'
import { type Candidate, type ExplainInput, explain, type Finding, onRecord, recompute } from '../ua/explain.ts'
import { UeError } from '../ue/fault.ts'
import { parseXcapUri } from '../ut/xcap-uri.ts'
import type { Command, Io, OptionTable } from './command.ts'
import { type AuditLine, recordsOf } from './explain/audit-file.ts'
import { keysOf } from './explain/keys.ts'
import { type PastedRequest, parsePasted } from './explain/pasted-request.ts'
import { needed, parseOptions, UsageError } from './options.ts'
import { simFileOf } from './ue.ts'

/** Suites that a UE and our listener agree on. */
const SUITES = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
  'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384',
  'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
  'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
]

const OPTIONS = {
  sim: { type: 'string', takes: 'file' },
  subscribers: { type: 'string', takes: 'file' },
  ks: { type: 'string' },
  'ks-naf': { type: 'string' },
  impi: { type: 'string' },
  rand: { type: 'string', multiple: true },
  naf: { type: 'string' },
  'ua-id': { type: 'string', multiple: true },
  suite: { type: 'string', takes: SUITES },
  body: { type: 'string', takes: 'file' },
  'sent-body': { type: 'string', takes: 'file' },
  'other-name': { type: 'string', multiple: true },
  'request-id': { type: 'string' },
  audit: { type: 'string', takes: 'file' },
  'show-keys': { type: 'boolean' },
} as const satisfies OptionTable

export const command: Command = {
  name: 'explain',
  summary: 'say why a request was refused, from the audit or by recomputing its response',
  usage: `usage: gba-proxy explain [OPTION]... [REQUEST]
       gba-proxy explain --request-id ID --audit FILE

Says in plain words what is wrong with a request. REQUEST is a file with request line and header fields, and perhaps a
body behind an empty line; - is standard input, and the output of curl -v or gba-proxy ue -v will do. The response is
recomputed for every key and Ua security protocol identifier that could be meant, and then under deviations, until it
fits. Only for labs: it needs the subscriber's key.

The key, one of:
      --sim SIM            SIM file, or NAME for lab/sims/NAME.yaml; with the bootstrap beside it, if there is one
      --subscribers FILE   subscriber file of the HSS stub: all of them, or the one of --impi
      --ks HEX             with --impi and, unless it is the one in the B-TID, --rand
      --ks-naf HEX
      --impi IMPI
      --rand HEX           of other bootstraps to try; may be given several times

The circumstances:
      --naf NAME           host that the UE addressed (default: Host)
      --ua-id ID           identifiers that the NAF takes, several times (default: 0100000002 and those of our suites)
      --suite NAME         cipher suite of the connection, as IANA names it, in place of our suites
      --body FILE          body as it was received
      --sent-body FILE     body as the UE meant it
      --other-name NAME    another host name that may be in the game; may be given several times

The record:
      --request-id ID      as in the answer that the UE got, urn:uuid: or not
      --audit FILE         JSON lines: log.auditFile, or the log itself

      --show-keys          print Ks_NAF, HA1 and responses in full; whoever reads them can act as this UE

Exit code: 0 the cause is certain, or nothing is wrong; 1 it is not; 2 the command line is wrong.

Examples:
  gba-proxy explain --request-id 0198a3c2 --audit /var/log/gba-proxy/audit.log
      what was recorded of a refusal, and what to do
  gba-proxy ue --sim alice -v URL 2>&1 | gba-proxy explain --sim alice -
      recomputes what the emulator has just sent
`,
  options: OPTIONS,
  positionals: ['file'],
  async run(args, io) {
    const { values, positionals } = read(args)
    try {
      return await run(values, positionals[0], io)
    } catch (error) {
      if (error instanceof UeError) throw new UsageError(error.message, { cause: error })
      throw error
    }
  },
}

const read = (args: string[]) => parseOptions(args, OPTIONS, 1)
type Values = ReturnType<typeof read>['values']

async function run(values: Values, file: string | undefined, io: Io): Promise<number> {
  const id = values['request-id']
  if ((id === undefined) !== (values.audit === undefined)) throw new UsageError('--request-id and --audit go together')
  if (id === undefined && file === undefined)
    throw new UsageError('which request? a file, - for standard input, or --request-id')
  const records = id === undefined ? [] : await recordsOf(needed(values.audit, 'audit'), id)
  if (id !== undefined && records.length === 0) {
    io.stderr.write(`gba-proxy explain: no record of ${id} in ${values.audit}\n`)
    if (file === undefined) return 1
  }
  const recorded = records.find(({ code }) => code !== undefined) ?? records[0]
  const lines: string[] = records.flatMap(recordLines)
  let findings: readonly Finding[]
  if (file === undefined) {
    findings = onRecord(recorded?.code)
  } else {
    const input = await inputOf(values, await octetsOf(file, io), recorded)
    findings = explain(input)
    lines.push(...requestLines(input), ...candidateLines(recompute(input), values['show-keys'] ?? false))
  }
  lines.push(...findings.flatMap(({ name, certainty, says }) => [`${name} (${certainty})`, `  ${says}`]))
  io.stdout.write(`${lines.join('\n')}\n`)
  const isKnown = recorded?.code !== undefined && file === undefined
  return isKnown || findings[0]?.certainty === 'certain' ? 0 : 1
}

async function inputOf(values: Values, octets: Uint8Array, recorded: AuditLine | undefined): Promise<ExplainInput> {
  const request = parsePasted(octets)
  if (!request) throw new UsageError('this is no request: a request line and header fields are expected')
  const { method, target, rawHeaders } = request
  const host = values.naf ?? headerValues(rawHeaders, 'host')[0]
  const nafFqdn = parseFqdn(host?.replace(/:\d{1,5}$/, '') ?? '')
  if (host === undefined || !nafFqdn) throw new UsageError('which NAF? the request has no Host; give --naf')
  const authorization = headerValues(rawHeaders, 'authorization')
  const simFile = values.sim === undefined ? undefined : simFileOf(values.sim)
  const { subscribers: subscribersFile, ks, 'ks-naf': ksNaf, impi, rand: rands = [] } = values
  const username = parseAuthorization(authorization[0] ?? '')?.username ?? ''
  const intended = parseIdentityHeader(headerValues(rawHeaders, 'x-3gpp-intended-identity'))
  const xui = xuiOf(request)
  return {
    method,
    target,
    host,
    nafFqdn,
    authorization,
    body: values.body === undefined ? request.body : await contentOf(values.body),
    ...(values['sent-body'] !== undefined && { sentBody: await contentOf(values['sent-body']) }),
    keys: await keysOf({ simFile, subscribersFile, impi, ks, ksNaf, rands }, username),
    uaProtocolIds: idsOf(values),
    otherNames: values['other-name'] ?? [],
    ...(typeof intended === 'object' && { intended: intended.impu }),
    ...(xui && { xui }),
    at: recorded?.at ?? Date.now(),
    ...(recorded?.code && { code: recorded.code }),
  }
}

function xuiOf({ target }: PastedRequest): Impu | undefined {
  try {
    return parseXcapUri(target).xui
  } catch {
    return undefined // another XCAP root, or what the AP refuses anyway
  }
}

function idsOf(values: Values): UaProtocolId[] {
  if (values['ua-id'] !== undefined) {
    return values['ua-id'].map((text) => parseUaProtocolId(text) ?? wrong(`--ua-id takes 10 hex digits, not '${text}'`))
  }
  const suites = values.suite === undefined ? SUITES : [values.suite]
  const ids = suites.map((name) => uaProtocolIdOfSuite(name) ?? wrong(`no code is known for the suite ${name}`))
  return [...ids, UA_HTTP_DIGEST]
}

/** What was recorded, and what it means. Values may come from a UE: they are printed as JSON. */
function recordLines({ event, at, code, members }: AuditLine): string[] {
  const { requestId: _, ...others } = members
  const said = Object.entries(others).map(([name, value]) => `  ${name} ${JSON.stringify(value)}`)
  const when = at === undefined ? '' : ` at ${new Date(at).toISOString()}`
  if (code === undefined) return [`recorded: ${event}${when}`, ...said, '']
  const { happened, clause, advice } = FAULT_TEXTS[code]
  const what = [
    `  ${happened}`,
    `  by: ${BLAME[FAULTS[code].by]}; answer: ${answersOf(code)}; ${clause}`,
    `  to do: ${advice}`,
  ]
  return [`recorded: ${event} ${code}${when}`, ...what, ...said, '']
}

function requestLines({ method, target, nafFqdn, authorization, body }: ExplainInput): string[] {
  const sent = parseAuthorization(authorization[0] ?? '')
  const start = [`request:  ${method} ${target} at ${nafFqdn}, ${body.length} octets of body`]
  if (!sent) return [...start, '']
  const { username, realm, uri, algorithm = 'MD5', qop = 'none', nc = 'none', response } = sent
  return [
    ...start,
    `username: ${username}`,
    `realm:    ${realm}`,
    `uri:      ${uri}`,
    `digest:   ${algorithm}, qop ${qop}, nc ${nc}, response ${brief(response)}`,
    '',
  ]
}

function candidateLines(candidates: readonly Candidate[], showKeys: boolean): string[] {
  if (candidates.length === 0) return []
  const key = (value: Uint8Array) => (showKeys ? toHex(value) : `#${hashOf(value)}`)
  const digest = (value: string) => (showKeys ? value : brief(value))
  return [
    showKeys
      ? 'candidates: whoever reads these keys can act as this UE'
      : 'candidates: # is the start of the SHA-256 of a secret, which --show-keys prints',
    ...[...Map.groupBy(candidates, ({ label }) => label)].flatMap(([label, group]) => [
      `  ${label}`,
      ...group.map(({ uaProtocolId, nafId, ksNaf, ha1, ha2, response, fits }) =>
        [
          `  ${fits ? '*' : ' '} ${uaProtocolId}`,
          `NAF_Id ${showKeys ? toHex(nafId) : `…${toHex(nafId.subarray(-8))}`}`,
          `Ks_NAF ${key(ksNaf.expose(32))}`,
          `HA1 ${showKeys ? ha1 : key(utf8(ha1))}`,
          `HA2 ${digest(ha2)}`,
          `response ${digest(response)}`,
        ].join('  '),
      ),
    ]),
    '',
  ]
}

const brief = (digest: string): string => `${digest.slice(0, 8)}…`

const hashOf = (value: Uint8Array): string => createHash('sha256').update(value).digest('hex').slice(0, 8)

async function octetsOf(file: string, { stdin }: Io): Promise<Uint8Array> {
  if (file !== '-') return contentOf(file)
  const parts: Uint8Array[] = []
  for await (const chunk of stdin ?? []) parts.push(typeof chunk === 'string' ? utf8(chunk) : chunk)
  return new Uint8Array(Buffer.concat(parts))
}

async function contentOf(file: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(file))
  } catch (cause) {
    throw new UsageError(`${file}: cannot be read`, { cause })
  }
}

function wrong(message: string): never {
  throw new UsageError(message)
}
