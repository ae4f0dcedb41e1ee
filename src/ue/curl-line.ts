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
  readonly tls?: '1.2' | '1.3' | undefined
  /** OpenSSL names. */
  readonly ciphers?: string | undefined
  /** Files; the same one where it holds both. */
  readonly clientCertificate?: { readonly cert: string; readonly key: string } | undefined
}

/**
 * The curl command that does the same. It holds Ks_NAF when there are credentials.
 * @param pinSuite  Ks_NAF is that of one TLS suite: curl must negotiate no other
 */
export function curlLine(request: CurlRequest, credentials: UeCredentials | undefined, pinSuite: boolean): string {
  const { method, url, headers, data, upload, caFile, insecure } = request
  const negotiated = credentials?.connection.tls
  const isTls = url.scheme === 'https'
  const to = connectTarget(request.connect, url.host, url.port)
  const moved = to.host !== url.host || to.port !== url.port
  const toHost = to.host.includes(':') ? `[${to.host}]` : to.host
  const words = [
    ['curl'],
    credentials ? ['--digest', '-u', `${credentials.btid}:${credentials.password}`] : [],
    method === 'HEAD' ? ['-I'] : ['-X', method],
    headers.flatMap((header) => ['-H', header]),
    data.flatMap((each) => ['--data-binary', each]),
    upload === undefined ? [] : ['-T', upload],
    moved ? ['--connect-to', `${url.host}:${url.port}:${toHost}:${to.port}`] : [],
    caFile === undefined || !isTls ? [] : ['--cacert', caFile],
    insecure ? ['-k'] : [],
    isTls ? certificate(request) : [],
    negotiated && pinSuite ? pins(negotiated) : isTls ? wishes(request) : [],
    ['--path-as-is', '--globoff', `${url.scheme}://${url.authority}${url.target}`],
  ]
  return words.flat().map(quoted).join(' ')
}

function certificate({ clientCertificate: files }: CurlRequest): string[] {
  if (!files) return []
  return ['--cert', files.cert, ...(files.key === files.cert ? [] : ['--key', files.key])]
}

/** As on the UE's command line, where the suite is not part of the key. */
function wishes({ tls, ciphers }: CurlRequest): string[] {
  const names = ciphers?.split(':') ?? []
  const older = names.filter((name) => !name.startsWith('TLS_')).join(':')
  const newer = names.filter((name) => name.startsWith('TLS_')).join(':')
  return [
    ...(tls === undefined ? [] : [`--tlsv${tls}`, '--tls-max', tls]),
    ...(older === '' ? [] : ['--ciphers', older]),
    ...(newer === '' ? [] : ['--tls13-ciphers', newer]),
  ]
}

function pins({ version, cipher }: { readonly version: string; readonly cipher: string }): string[] {
  return version === 'TLSv1.3'
    ? ['--tlsv1.3', '--tls13-ciphers', cipher]
    : ['--tlsv1.2', '--tls-max', '1.2', '--ciphers', cipher]
}

const quoted = (word: string): string =>
  /^[A-Za-z0-9._:/=@+-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`
