import type { UeCredentials } from './flow.ts'
import { type ConnectRule, connectTarget, type UeUrl } from './url.ts'

/** What the curl line is to do. */
export interface CurlRequest {
  readonly method: string
  readonly url: UeUrl
  /** `Name: value`, or `Name:` to leave a field out. */
  readonly headers: readonly string[]
  /** As after `--data-binary`. */
  readonly data: readonly string[]
  /** As after `-T`. */
  readonly upload?: string | undefined
  readonly connect: readonly ConnectRule[]
  readonly caFile?: string | undefined
  readonly insecure: boolean
}

/**
 * The curl command that does the same. It holds Ks_NAF.
 * @param pinSuite  Ks_NAF is that of one TLS suite: curl must negotiate no other
 */
export function curlLine(request: CurlRequest, credentials: UeCredentials, pinSuite: boolean): string {
  const { method, url, headers, data, upload, caFile, insecure } = request
  const { tls } = credentials.connection
  const to = connectTarget(request.connect, url.host, url.port)
  const moved = to.host !== url.host || to.port !== url.port
  const toHost = to.host.includes(':') ? `[${to.host}]` : to.host
  const words = [
    ['curl', '--digest', '-u', `${credentials.btid}:${credentials.password}`],
    method === 'HEAD' ? ['-I'] : ['-X', method],
    headers.flatMap((header) => ['-H', header]),
    data.flatMap((each) => ['--data-binary', each]),
    upload === undefined ? [] : ['-T', upload],
    moved ? ['--connect-to', `${url.host}:${url.port}:${toHost}:${to.port}`] : [],
    caFile === undefined || !tls ? [] : ['--cacert', caFile],
    insecure ? ['-k'] : [],
    tls && pinSuite ? pins(tls) : [],
    ['--path-as-is', '--globoff', `${url.scheme}://${url.authority}${url.target}`],
  ]
  return words.flat().map(quoted).join(' ')
}

function pins({ version, cipher }: { readonly version: string; readonly cipher: string }): string[] {
  return version === 'TLSv1.3'
    ? ['--tlsv1.3', '--tls13-ciphers', cipher]
    : ['--tlsv1.2', '--tls-max', '1.2', '--ciphers', cipher]
}

const quoted = (word: string): string =>
  /^[A-Za-z0-9._:/=@+-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`
