import { basename } from 'node:path'
import type { Qop } from '../core/digest.ts'
import { parseUaProtocolId, type UaProtocolId } from '../core/naf-id.ts'
import { UeError } from '../ue/fault.ts'
import type { UePskOptions } from '../ue/flow.ts'
import type { UeProfile } from '../ue/profile.ts'
import { PROFILE_NAMES, PROFILES } from '../ue/profiles.ts'
import { type ConnectRule, parseConnectTo, parseUeUrl, type UeUrl } from '../ue/url.ts'
import { xcapMediaType } from '../ue/xcap-media-type.ts'
import type { Command, OptionTable } from './command.ts'
import { parseOptions, UsageError } from './options.ts'

const SIMS = 'lab/sims'

const OPTIONS = {
  sim: { type: 'string', takes: 'file' },
  request: { type: 'string', short: 'X', takes: ['GET', 'PUT', 'DELETE', 'HEAD', 'POST', 'OPTIONS'] },
  data: { type: 'string', short: 'd', multiple: true },
  'data-binary': { type: 'string', multiple: true },
  'upload-file': { type: 'string', short: 'T', takes: 'file' },
  header: { type: 'string', short: 'H', multiple: true },
  output: { type: 'string', short: 'o', takes: 'file' },
  include: { type: 'boolean', short: 'i' },
  head: { type: 'boolean', short: 'I' },
  silent: { type: 'boolean', short: 's' },
  'show-error': { type: 'boolean', short: 'S' },
  fail: { type: 'boolean', short: 'f' },
  verbose: { type: 'boolean', short: 'v' },
  insecure: { type: 'boolean', short: 'k' },
  cacert: { type: 'string', takes: 'file' },
  cert: { type: 'string', short: 'E', takes: 'file' },
  key: { type: 'string', takes: 'file' },
  ciphers: { type: 'string' },
  'connect-to': { type: 'string', multiple: true },
  'max-time': { type: 'string', short: 'm' },
  profile: { type: 'string', default: 'standard', takes: PROFILE_NAMES },
  qop: { type: 'string', takes: ['auth', 'auth-int'] },
  'intended-identity': { type: 'string' },
  bsf: { type: 'string' },
  tls: { type: 'string', takes: ['1.2', '1.3'] },
  psk: { type: 'boolean' },
  'psk-separator': { type: 'string' },
  upgrade: { type: 'boolean' },
  'ua-id': { type: 'string', default: 'tls-suite' },
  'new-bootstrap': { type: 'boolean' },
  'require-rspauth': { type: 'boolean' },
  'print-curl': { type: 'boolean' },
} as const satisfies OptionTable

export const command: Command = {
  name: 'ue',
  summary: 'be a UE: bootstrap, authenticate, send one request, as curl would',
  usage: `usage: gba-proxy ue [OPTION]... --sim SIM URL

Sends one HTTP request as a UE with GBA: bootstraps on Ub when it has to, then authenticates with its B-TID.
B-TID, keys and SQN are kept beside the SIM file (NAME.state.json, mode 0600) for the next call.

  --sim SIM                SIM file, or NAME for ${SIMS}/NAME.yaml (default: environment variable GBA_SIM)

as with curl:
  -X, --request METHOD     default GET; PUT with -T, POST with -d, HEAD with -I
  -d, --data DATA|@FILE    body; several are joined by &; octets stay as they are, line ends too
      --data-binary ...    the same
  -T, --upload-file FILE   PUT this file
  -H, --header LINE        'Name: value'; 'Name:' leaves the field out; 'Name;' sends it empty
  -o, --output FILE        body goes there
  -i, --include            print status line and headers too
  -I, --head               HEAD, print status line and headers
  -s, --silent             no error messages
  -S, --show-error         but those with -s
  -f, --fail               exit 22 on status 400 and above, print no body
  -v, --verbose            every message on Ub and Ua, on stderr
  -k, --insecure           accept any server certificate
      --cacert FILE        trust these CAs (default: the SIM's caFile, else the system's)
  -E, --cert FILE          show this certificate (PEM, with its chain); then no Digest until a 401 asks for it
      --key FILE           its private key (PEM; default: in the certificate's file)
      --ciphers LIST       OpenSSL names with : between them; for each TLS version by its own names
      --connect-to HOST1:PORT1:HOST2:PORT2
                           connect to HOST2:PORT2 instead; before the SIM's connect map
  -m, --max-time SECONDS   for everything together

GBA:
      --profile NAME       behave as standard (default), android, gba-me, curl or strict does
      --qop auth|auth-int  default: auth-int where offered, unless the profile differs
      --intended-identity ID
                           send X-3GPP-Intended-Identity, in quotation marks unless the profile differs
      --bsf URL            in place of the SIM's or the one by the name rule
      --tls 1.2|1.3        this version only
      --psk                TLS on the bootstrapped key, without certificates and Digest; TLS 1.3 unless --tls 1.2
      --psk-separator ;|.  between prefix and B-TID of the identity (default: ;), or '' for nothing
      --upgrade            http://: change to TLS before anything is sent (RFC 2817)
      --ua-id ID           tls-suite (default: 010001yyzz of the connection's suite) or 10 hex digits
      --new-bootstrap      bootstrap first, whatever is held
      --require-rspauth    believe no answer without rspauth
      --print-curl         do not send; print the curl line that does the same. It holds a key, but not with --cert.

Without -H Content-Type the type of a body follows from the XCAP target where that is known.
Redirects are not followed. The target goes out octet for octet. Options about TLS hold on Ua, not on Ub.

Exit code: 0 done, 2 command line or SIM file, 3 URL, 6 host unknown, 7 no connection, 18 answer cut short,
22 status with -f, 23 output or state not written, 26 input or state not read, 28 too slow, 35 TLS, 42 interrupted,
52 empty answer, 56 connection lost, 58 own certificate or key, 59 ciphers, 60 certificate, 63 answer too large,
77 CA file; and beyond curl's:
110 bootstrap refused, 111 MAC in AUTN wrong, 112 rspauth wrong or missing, 113 challenge not to be answered,
114 answer of the BSF malformed, 115 TLS suite without a code, 116 bootstrapped key refused, 117 upgrade refused.

Files:
  ${SIMS}/NAME.yaml      SIM: imsi or impi, k, opc, caFile, connect
  NAME.state.json        beside it: B-TID, keys and SQN; delete it for a UE that has forgotten everything

Environment:
  GBA_SIM   SIM for calls without --sim

Examples:
  gba-proxy ue --sim alice -i https://xcap.example.org/resource-lists/users/sip:alice@example.org/index
      reads a document
  gba-proxy ue --sim alice -T list.xml https://xcap.example.org/resource-lists/users/sip:alice@example.org/index
      writes one
  gba-proxy ue --sim alice --profile android -v URL
      the same as an Android handset would, with every message
`,
  options: OPTIONS,
  async run(args, io) {
    const { values, positionals } = read(args)
    try {
      const { perform } = await import('./ue-call.ts')
      return await perform(callOf(values, positionals[0], io.env.GBA_SIM), io)
    } catch (error) {
      if (!(error instanceof UeError)) throw error
      if (!values.silent || values['show-error'])
        io.stderr.write(`gba-proxy ue: (${error.exitCode}) ${error.message}\n`)
      return error.exitCode
    }
  },
}

const read = (args: string[]) => parseOptions(args, OPTIONS, 1)

export type Values = ReturnType<typeof read>['values']

/** The command line, understood. */
export interface Call {
  readonly values: Values
  readonly simFile: string
  readonly urlText: string
  readonly url: UeUrl
  readonly method: string
  /** As after `--data-binary`. */
  readonly data: readonly string[]
  readonly upload: string | undefined
  readonly headers: readonly (readonly [name: string, value: string | undefined])[]
  readonly connect: readonly ConnectRule[]
  readonly profile: UeProfile
  readonly qop: Qop | undefined
  readonly uaId: 'tls-suite' | UaProtocolId
  readonly maxTimeMs: number | undefined
  readonly tls: '1.2' | '1.3' | undefined
  readonly psk: UePskOptions | undefined
  /** Files. */
  readonly clientCertificate: { readonly cert: string; readonly key: string } | undefined
}

/** @throws UsageError, UeError URL_MALFORMED */
function callOf(values: Values, text: string | undefined, usualSim: string | undefined): Call {
  if (text === undefined) throw new UsageError('which URL?')
  const url = parseUeUrl(text)
  const data = [...(values.data ?? []), ...(values['data-binary'] ?? [])]
  const upload = values['upload-file']
  if (data.length > 0 && upload !== undefined) throw new UsageError('either --data or --upload-file')
  const usual = values.head ? 'HEAD' : upload !== undefined ? 'PUT' : data.length > 0 ? 'POST' : 'GET'
  // as with curl: a file goes under its own name into a folder
  const file = upload !== undefined && url.target.endsWith('/') ? encodeURIComponent(basename(upload)) : ''
  const headers = (values.header ?? []).map(headerOf)
  const typed = headers.some(([name]) => name.toLowerCase() === 'content-type')
  const form = data.length > 0 ? 'application/x-www-form-urlencoded' : undefined
  const contentType =
    typed || (data.length === 0 && upload === undefined) ? undefined : (xcapMediaType(url.target) ?? form)
  return {
    values,
    simFile: simFileOf(values.sim ?? usualSim),
    urlText: `${text}${file}`,
    url: file === '' ? url : parseUeUrl(`${text}${file}`),
    method: values.request ?? usual,
    data,
    upload,
    headers: contentType === undefined ? headers : [...headers, ['Content-Type', contentType]],
    connect: (values['connect-to'] ?? []).map(
      (rule) => parseConnectTo(rule) ?? wrong(`--connect-to takes HOST1:PORT1:HOST2:PORT2, not '${rule}'`),
    ),
    profile: profileOf(values.profile),
    qop: values.qop === undefined ? undefined : qopOf(values.qop),
    uaId:
      values['ua-id'] === 'tls-suite'
        ? 'tls-suite'
        : (parseUaProtocolId(values['ua-id']) ?? wrong('--ua-id takes tls-suite or 10 hex digits')),
    maxTimeMs: values['max-time'] === undefined ? undefined : millisecondsOf(values['max-time']),
    ...doorOf(values, url),
  }
}

/** How the UE is to come in. @throws UsageError for what does not go together */
function doorOf(values: Values, { scheme }: UeUrl): Pick<Call, 'tls' | 'psk' | 'clientCertificate'> {
  const { tls, psk, upgrade, cert, key } = values
  const separator = values['psk-separator']
  if (psk && cert !== undefined) wrong('either --psk or --cert')
  if (key !== undefined && cert === undefined) wrong('--key goes with --cert')
  if (separator !== undefined && !psk) wrong('--psk-separator goes with --psk')
  if (upgrade && scheme === 'https') wrong('--upgrade takes an http URL: https is TLS from the start')
  if (psk && scheme === 'http' && !upgrade) wrong('--psk takes an https URL, or --upgrade')
  if (values['print-curl'] && (psk || upgrade)) wrong(`curl has no ${psk ? '--psk' : '--upgrade'}`)
  return {
    tls: tls === undefined || tls === '1.2' || tls === '1.3' ? tls : wrong(`--tls takes 1.2 or 1.3, not '${tls}'`),
    psk: psk ? { separator: separatorOf(separator ?? ';') } : undefined,
    clientCertificate: cert === undefined ? undefined : { cert, key: key ?? cert },
  }
}

function separatorOf(text: string): ';' | '.' | '' {
  return text === ';' || text === '.' || text === '' ? text : wrong(`--psk-separator takes ; or . or '', not '${text}'`)
}

/** Where the SIM is that a command line names. @throws UsageError */
export function simFileOf(sim: string | undefined): string {
  if (sim === undefined || sim === '') throw new UsageError('which SIM? --sim SIM, or set GBA_SIM')
  return sim.includes('/') || /\.ya?ml$/.test(sim) ? sim : `${SIMS}/${sim}.yaml`
}

function headerOf(line: string): readonly [string, string | undefined] {
  const [, name, mark, value = ''] = /^([^\s:;]+)([:;])(.*)$/.exec(line) ?? []
  if (name === undefined || (mark === ';' && value !== ''))
    throw new UsageError(`--header takes 'Name: value', not '${line}'`)
  return [name, mark === ';' ? '' : value.trim() === '' ? undefined : value.trim()]
}

function profileOf(text: string): UeProfile {
  const name = PROFILE_NAMES.find((each) => each === text)
  return name ? PROFILES[name] : wrong(`--profile takes one of ${PROFILE_NAMES.join(', ')}, not '${text}'`)
}

function qopOf(text: string): Qop {
  return text === 'auth' || text === 'auth-int' ? text : wrong(`--qop takes auth or auth-int, not '${text}'`)
}

function millisecondsOf(text: string): number {
  const ms = /^\d{1,6}(?:\.\d{1,3})?$/.test(text) ? Math.round(Number(text) * 1000) : 0
  return ms > 0 ? ms : wrong(`--max-time takes seconds, not '${text}'`)
}

function wrong(message: string): never {
  throw new UsageError(message)
}
