import type { Server, TLSSocket } from 'node:tls'
import type { MetricName } from './metric-definitions.ts'
import { cellOf, type Sample, Tally } from './tallies.ts'

/** What is counted of TLS connections, by the listener that they came to. */
export interface TlsTallies {
  /** Counts the connections of this server from now on; nothing else of them changes. */
  follow(listener: string, server: Server): void
  samples(): ReadonlyMap<MetricName, readonly Sample[]>
}

export function tlsTallies(): TlsTallies {
  /** By listener and version. */
  const suites = new Map<string, { readonly listener: string; readonly version: string; readonly tally: Tally }>()
  const failures = new Map<string, Tally>()
  return {
    follow(listener, server) {
      server.on('secureConnection', (socket: TLSSocket) => {
        const version = socket.getProtocol() ?? 'unknown'
        const of = cellOf(suites, `${listener} ${version}`, () => ({ listener, version, tally: new Tally() }))
        of.tally.add(socket.getCipher()?.standardName ?? 'unknown')
      })
      server.on('tlsClientError', (error: Error) => {
        cellOf(failures, listener, () => new Tally()).add(handshakeFaultOf(error))
      })
    },
    samples: () =>
      new Map<MetricName, readonly Sample[]>([
        [
          'gba_proxy_tls_connections_total',
          [...suites.values()].flatMap(({ listener, version, tally }) => tally.samples('suite', { listener, version })),
        ],
        [
          'gba_proxy_tls_handshake_failures_total',
          [...failures].flatMap(([listener, tally]) => tally.samples('reason', { listener })),
        ],
      ]),
  }
}

/** The engine has some hundred codes, of which an operator wants to know whose fault they are. */
export function handshakeFaultOf(error: Error): string {
  const code = 'code' in error ? String(error.code) : ''
  return FAULTS_OF_HANDSHAKES.find(([pattern]) => pattern.test(code))?.[1] ?? 'other'
}

const FAULTS_OF_HANDSHAKES: readonly (readonly [RegExp, string])[] = [
  [/^(?:ECONNRESET|EPIPE|ERR_SSL_UNEXPECTED_EOF_WHILE_READING)$/, 'closed'],
  [/^ERR_TLS_HANDSHAKE_TIMEOUT$/, 'handshake-late'],
  [/_ALERT_/, 'client-alert'],
  [/PEER_DID_NOT_RETURN_A_CERTIFICATE|CERTIFICATE_VERIFY_FAILED/, 'client-certificate'],
  [/UNSUPPORTED_PROTOCOL|VERSION_TOO_(?:LOW|HIGH)|INAPPROPRIATE_FALLBACK/, 'version'],
  [/NO_SHARED_CIPHER|NO_SUITABLE_|NO_SHARED_|NO_CIPHER/, 'suite'],
  [/HTTP_REQUEST|HTTPS_PROXY_REQUEST|WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|UNEXPECTED_MESSAGE/, 'not-tls'],
]
