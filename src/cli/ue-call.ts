import { readFile, writeFile } from 'node:fs/promises'
import { concat, utf8 } from '../core/bytes.ts'
import { type CurlRequest, curlLine } from '../ue/curl-line.ts'
import { UeError } from '../ue/fault.ts'
import { createUe, type UeClientCertificate, type UeCredentials, type UeResponse } from '../ue/flow.ts'
import { loadSim } from '../ue/sim.ts'
import { fileState, stateFileOf } from '../ue/state-file.ts'
import { formatExchange } from '../ue/trace.ts'
import type { Io } from './command.ts'
import type { Call, Values } from './ue.ts'

/**
 * Does what the command line says.
 * @returns the exit code
 * @throws UeError
 */
export async function perform(call: Call, io: Io): Promise<number> {
  const { values, method, simFile } = call
  const sim = await loadSim(simFile)
  const caFile = values.cacert ?? sim.caFile
  if (call.clientCertificate && values['print-curl']) {
    // The certificate is enough, as it is for the UE: no bootstrap, and no key in the line.
    printCurl(call, undefined, { connect: [...call.connect, ...sim.connect], caFile }, io)
    return 0
  }
  const ue = createUe(sim, {
    state: fileState(stateFileOf(simFile), sim),
    connect: call.connect,
    uaId: call.uaId,
    insecure: values.insecure ?? false,
    profile: call.profile,
    ...(values['require-rspauth'] && { rspauth: 'require' }),
    ...(caFile !== undefined && { ca: await contentOf(caFile, 'CA_UNREADABLE') }),
    ...(call.clientCertificate && { clientCertificate: await certificateOf(call.clientCertificate) }),
    ...(call.tls && { tls: call.tls }),
    ...(values.ciphers !== undefined && { ciphers: values.ciphers }),
    ...(call.psk && { psk: call.psk }),
    upgrade: values.upgrade ?? false,
    ...(values.bsf !== undefined && { bsf: values.bsf }),
    ...(values.verbose && { observer: (exchange) => io.stderr.write(formatExchange(exchange)) }),
  })
  const { signal, cancel } = deadline(io.signal, call.maxTimeMs)
  try {
    if (values['new-bootstrap']) await ue.bootstrap(signal)
    if (values['print-curl']) {
      const around = { connect: [...call.connect, ...sim.connect], caFile }
      printCurl(call, await ue.credentials(call.urlText, signal), around, io)
      return 0
    }
    const response = await ue.request(method, call.urlText, {
      headers: call.headers,
      body: await bodyOf(call, io),
      signal,
      ...(call.qop && { qop: call.qop }),
      ...(values['intended-identity'] !== undefined && { intendedIdentity: values['intended-identity'] }),
    })
    return await show(values, response, io)
  } finally {
    cancel()
    ue.close()
  }
}

async function show(values: Values, { status, reason, headers, body }: UeResponse, io: Io): Promise<number> {
  const failed = values.fail === true && status >= 400
  const lines = [`HTTP/1.1 ${status} ${reason}`, ...headers.map(([name, value]) => `${name}: ${value}`), '', '']
  const head = values.include || values.head ? utf8(lines.join('\r\n')) : new Uint8Array()
  const content = failed ? head : concat(head, body)
  if (values.output === undefined || values.output === '-') {
    if (content.length > 0) io.stdout.write(content)
  } else if (!failed) {
    await writeFile(values.output, content).catch((cause) => {
      throw new UeError('OUTPUT_UNWRITABLE', `${values.output}: cannot be written`, { cause })
    })
  }
  if (failed) throw new UeError('STATUS_REFUSED', `the server answered ${status}`)
  return 0
}

type Around = Pick<CurlRequest, 'connect' | 'caFile'>

/** The curl line instead of the request. */
function printCurl(call: Call, credentials: UeCredentials | undefined, around: Around, io: Io): void {
  const { values, url, method, data, upload, profile, tls, clientCertificate } = call
  const identity = values['intended-identity']
  const named = new Set(call.headers.map(([name]) => name.toLowerCase()))
  const ours: [string, string][] = [
    ['User-Agent', `${profile.userAgent} 3gpp-gba`],
    ...(identity === undefined
      ? []
      : [['X-3GPP-Intended-Identity', profile.formatIntendedIdentity(identity)] satisfies [string, string]]),
  ]
  const headers = [...ours.filter(([name]) => !named.has(name.toLowerCase())), ...call.headers].map(([name, value]) =>
    value === '' ? `${name};` : `${name}:${value === undefined ? '' : ` ${value}`}`,
  )
  const insecure = values.insecure ?? false
  const { ciphers } = values
  const request = { method, url, headers, data, upload, insecure, tls, ciphers, clientCertificate, ...around }
  io.stdout.write(`${curlLine(request, credentials, call.uaId === 'tls-suite')}\n`)
  if (!credentials) return
  io.stderr.write('gba-proxy ue: the line above holds Ks_NAF: whoever reads it can act as this UE\n')
  if (call.qop === 'auth-int') io.stderr.write('gba-proxy ue: curl hashes an empty body under auth-int; use auth\n')
}

/** The octets of the body, as given: unlike curl's `-d`, which drops line ends and would join words of XML. */
async function bodyOf({ data, upload }: Call, io: Io): Promise<Uint8Array> {
  const file = (name: string) => (name === '-' ? stdinOf(io) : contentOf(name, 'INPUT_UNREADABLE'))
  if (upload !== undefined) return file(upload)
  const parts: Uint8Array[] = []
  for (const each of data) {
    if (parts.length > 0) parts.push(utf8('&'))
    parts.push(each.startsWith('@') ? await file(each.slice(1)) : utf8(each))
  }
  return concat(...parts)
}

async function stdinOf({ stdin }: Io): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const chunk of stdin ?? []) parts.push(typeof chunk === 'string' ? utf8(chunk) : chunk)
  return concat(...parts)
}

async function certificateOf({ cert, key }: { cert: string; key: string }): Promise<UeClientCertificate> {
  const code = 'CLIENT_CERTIFICATE_UNUSABLE'
  return { cert: await contentOf(cert, code), key: await contentOf(key, code) }
}

async function contentOf(
  path: string,
  code: 'INPUT_UNREADABLE' | 'CA_UNREADABLE' | 'CLIENT_CERTIFICATE_UNUSABLE',
): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(path))
  } catch (cause) {
    throw new UeError(code, `${path}: cannot be read`, { cause })
  }
}

/**
 * Aborts at the interruption or when time is over, whichever comes first. Not `AbortSignal.any` over
 * `AbortSignal.timeout`: Node holds the latter weakly there, and once collected it never fires.
 */
function deadline(interrupted: AbortSignal, ms: number | undefined): { signal: AbortSignal; cancel: () => void } {
  const stop = new AbortController()
  const interrupt = () => stop.abort(interrupted.reason)
  if (interrupted.aborted) interrupt()
  interrupted.addEventListener('abort', interrupt)
  const timer = ms === undefined ? undefined : setTimeout(() => stop.abort(new DOMException('', 'TimeoutError')), ms)
  const cancel = () => {
    clearTimeout(timer)
    interrupted.removeEventListener('abort', interrupt)
  }
  return { signal: stop.signal, cancel }
}
