import { UeError } from './fault.ts'

/** How far an exchange had come. */
export type Phase = 'connect' | 'upgrade' | 'tls' | 'sent' | 'answered'

/** The server closed an idle connection just as we wrote to it. */
export class IdleConnectionLost extends UeError {}

/**
 * What went wrong, in the words of this UE.
 * @param reused  the connection had served a request before
 */
export function faultOf(error: unknown, phase: Phase, signal: AbortSignal | undefined, reused = false): UeError {
  if (error instanceof UeError) return error
  const cause = error instanceof Error ? error : new Error(String(error))
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : ''
  // OpenSSL's message is a line out of its source; its reason is the part for people.
  const detail = 'reason' in cause && typeof cause.reason === 'string' ? cause.reason : cause.message || code
  if (signal?.aborted) {
    return signal.reason instanceof Error && signal.reason.name === 'TimeoutError'
      ? new UeError('TIMEOUT', 'no answer in time', { cause })
      : new UeError('ABORTED', 'interrupted', { cause })
  }
  if (code.startsWith('ERR_INVALID_') || code === 'ERR_UNESCAPED_CHARACTERS') {
    return new UeError('REQUEST_MALFORMED', detail, { cause })
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return new UeError('HOST_UNKNOWN', detail, { cause })
  if (phase === 'connect') return new UeError('CONNECT_FAILED', detail, { cause })
  if (phase === 'tls') {
    return new UeError(isCertificateFault(code) ? 'CERTIFICATE_REFUSED' : 'TLS_FAILED', detail, { cause })
  }
  if (phase === 'upgrade') return new UeError('UPGRADE_REFUSED', detail, { cause })
  // In TLS 1.3 a server says after the handshake what it thinks of the UE's certificate.
  if (alertOf(cause) !== undefined) return new UeError('TLS_FAILED', detail, { cause })
  if (phase === 'answered') return new UeError('ANSWER_CUT_SHORT', detail, { cause })
  const lost = code === 'ECONNRESET' || code === 'EPIPE'
  if (lost && reused) return new IdleConnectionLost('CONNECTION_LOST', detail, { cause })
  // Node's own words for a connection that was closed before the first octet of an answer.
  if (lost && cause.message === 'socket hang up')
    return new UeError('ANSWER_EMPTY', 'the server said nothing', { cause })
  return new UeError('CONNECTION_LOST', detail, { cause })
}

/** The TLS alert that an error, or what caused it, reports. @see RFC 8446 section 6 (2018) */
export function alertOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined
  const [, number] = /SSL alert number (\d{1,3})/.exec(error.message) ?? []
  return number === undefined ? alertOf(error.cause) : Number(number)
}

/** OpenSSL's X509_V_ERR names as Node passes them on, and Node's own check of the name. */
function isCertificateFault(code: string): boolean {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return true
  return !code.startsWith('ERR_') && /CERT|ISSUER|SIGNATURE|CRL|_CA$|HOSTNAME_MISMATCH/.test(code)
}
