import { createHash, hkdfSync } from 'node:crypto'
import type { Socket } from 'node:net'
import tls, { type Server, type TLSSocket, type TlsOptions } from 'node:tls'
import { isDeepStrictEqual } from 'node:util'
import { ConfigError } from '../config/config-error.ts'
import { versionOf } from '../config/file-version.ts'
import type { EpochMs } from '../core/bytes.ts'
import { type Fqdn, parseFqdn } from '../core/identity.ts'
import type { Secret } from '../core/secret.ts'
import { type Expiry, expiryNotices, type OnExpiring } from './expiry.ts'
import type { Warn } from './files.ts'
import { listenerTlsOptions, type TlsProfile } from './listener.ts'
import {
  changedFiles,
  type ListenerCertificate,
  type ListenerFiles,
  type LoadedFiles,
  pathsOf,
  readListenerFiles,
} from './listener-files.ts'
import { certificatesFor, type NameRefusal, serveByName } from './sni.ts'

export interface LiveTlsSettings {
  /** Who asks for another name is refused in the handshake; undefined: every name gets the first certificate at least. */
  readonly names?: readonly Fqdn[]
  readonly profile?: TlsProfile
  /** 1 or more; at most as long as a key is good. */
  readonly sessionTimeoutS?: number
  /** What several processes seal tickets with, so that a session resumes at any of them; by default each has its own. */
  readonly tickets?: TicketSecret
  readonly warn: Warn
  /** Told once of each change that could not be taken over. */
  readonly onMistake: (error: unknown) => void
  /** Told of the files that are now in use as they are. */
  readonly onChange?: (files: readonly string[]) => void
  /** The CA of clients or the list of revoked certificates changed: who came in by certificate may have to go. */
  readonly onTrustChange?: () => void
  readonly onExpiring?: OnExpiring
  readonly onRefused?: (reason: NameRefusal, peer: Socket) => void
  readonly now?: () => EpochMs
  readonly everyMs?: number
}

export interface TicketSecret {
  /** Watched like the others. */
  readonly file: string
  read(): Secret
}

export interface LiveTls {
  /** For a server with the first certificate, as it is now. */
  options(): TlsOptions
  /**
   * Serves the connections of this server, which has none yet, by name and with what the files say when they come.
   * Whatever else looks at connections first, as `admitPsk` does, is to be told of the server after this.
   */
  attach(server: Server): void
  /** Reads the files now, whether they seem changed or not. @returns whether what they say is in use */
  reload(): boolean
  /**
   * Makes ready to serve these names in the place of those before.
   * @returns does it, for new connections; sessions end where the names are others
   * @throws ConfigError; nothing has changed then
   */
  prepareNames(names: readonly Fqdn[]): () => void
  expiries(): readonly Expiry[]
  /** Tells what expires soon or has expired, once a day however often it is called. */
  check(now: EpochMs): void
  close(): void
}

/**
 * The TLS side of a listener that goes on through changes of its files: they are watched, read together, and taken over
 * together when they fit, for new connections; those that there are go on as they began. Sessions end with a change.
 * @throws ConfigError when the first reading fails
 */
export function followTls(files: ListenerFiles, settings: LiveTlsSettings): LiveTls {
  const { warn, onMistake, onChange, onTrustChange, onExpiring, onRefused, now = Date.now, everyMs = 2000 } = settings
  const { tickets } = settings
  const paths = [...pathsOf(files), ...(tickets ? [tickets.file] : [])]
  const versions = () => paths.map(versionOf).join('\n')
  const notice = expiryNotices((expiry, state) => onExpiring?.(expiry, state))
  let server: Server | undefined
  /** Grows with each change of who may show a certificate. */
  let trust = 0
  const front: Front = {
    now,
    onSecure: (socket, trustOf) => {
      // A handshake may last: whose certificate was judged by rules that are gone meanwhile is not let in by them.
      if (trustOf !== trust && socket.getPeerX509Certificate()) socket.destroy()
      else server?.emit('secureConnection', socket)
    },
    onFailed: (error, socket) => server?.emit('tlsClientError', error, socket),
  }
  // Taken before the reading, so that a change in between is seen the next time.
  let version = versions()
  const readFiles = () => withTickets(readListenerFiles(files, warn), tickets)
  let loaded: LoadedFiles = readFiles()
  let naming = settings
  let engines = enginesOf(loaded, naming, front, trust)
  const reload = (): boolean => {
    version = versions()
    let changed: string[]
    let isOtherTrust: boolean
    try {
      const read = readFiles()
      changed = changedFiles(loaded, read)
      if (changed.length === 0) return true
      isOtherTrust = changed.some((file) => file === files.clientCaFile || file === files.crlFile)
      engines = enginesOf(read, naming, front, isOtherTrust ? trust + 1 : trust)
      loaded = read
      if (isOtherTrust) trust += 1
    } catch (error) {
      onMistake(error)
      return false
    }
    notice(loaded.expiries, now())
    onChange?.(changed)
    if (isOtherTrust) onTrustChange?.()
    return true
  }
  const timer = setInterval(() => {
    if (versions() !== version) reload()
  }, everyMs).unref()
  notice(loaded.expiries, now())
  return {
    options: () => engines.options,
    attach(to) {
      if (server) throw new RangeError('serves another server already')
      serveByName(to, { engineFor: (serverName) => engines.engineFor(serverName), onRefused })
      server = to
    },
    reload,
    prepareNames(names) {
      if (isDeepStrictEqual(names, naming.names)) return () => {}
      const next = { ...naming, names }
      const made = enginesOf(loaded, next, front, trust)
      return () => {
        naming = next
        engines = made
      }
    },
    expiries: () => loaded.expiries,
    check: (at) => notice(loaded.expiries, at),
    close: () => clearInterval(timer),
  }
}

/** Where the connections of all engines come out. */
interface Front {
  readonly now: () => EpochMs
  readonly onSecure: (socket: TLSSocket, trustOf: number) => void
  readonly onFailed: (error: Error, socket: TLSSocket) => void
}

interface Engines {
  readonly options: TlsOptions
  engineFor(serverName: string | undefined): Server | undefined
}

function withTickets(loaded: LoadedFiles, tickets: TicketSecret | undefined): LoadedFiles {
  if (!tickets) return loaded
  return { ...loaded, contents: new Map([...loaded.contents, [tickets.file, Buffer.from(tickets.read().expose())]]) }
}

/** A TLS server that listens nowhere for each set of certificates that some name has. Its ticket keys are its own. */
function enginesOf(
  { certificates, contents, trust }: LoadedFiles,
  settings: LiveTlsSettings,
  front: Front,
  trustOf: number,
): Engines {
  const { names, profile, sessionTimeoutS, warn } = settings
  const idOf = (group: readonly ListenerCertificate[]) => group.map((each) => certificates.indexOf(each)).join()
  const options = (group: readonly ListenerCertificate[]) => ({
    ...listenerTlsOptions(group, {
      trust,
      ...(profile && { profile }),
      ...(sessionTimeoutS !== undefined && { sessionTimeoutS }),
    }),
    ...(settings.tickets && ticketOptions(settings.tickets, contents, idOf(group))),
  })
  const built = new Map<string, Server>()
  const engineOf = (group: readonly ListenerCertificate[]): Server => {
    const id = idOf(group)
    const engine = built.get(id) ?? buildEngine(group, { ...options(group), SNICallback }, front, trustOf)
    built.set(id, engine)
    return engine
  }
  const [first] = certificates
  const engineOfName = (name: Fqdn): Server => {
    const group = certificatesFor(name, certificates)
    return engineOf(group.length > 0 ? group : [first])
  }
  // Each by itself now: what the engine does not take is to be known before anybody connects.
  for (const certificate of certificates) engineOf([certificate])
  for (const name of names ?? []) {
    const group = certificatesFor(name, certificates)
    if (group.length === 0)
      warn(first.certificateFile, `no certificate carries the NAF name ${name}; UEs will refuse it`)
    for (const { staple, certificateFile } of group.length > 1 ? group : []) {
      if (staple) warn(certificateFile, `nothing is stapled for ${name}, which has certificates of several key types`)
    }
  }
  const byName = names && new Map<string, Server>(names.map((name) => [name, engineOfName(name)]))
  const engineFor = (serverName: string | undefined) => {
    if (serverName === undefined) return engineOf([first])
    const name = parseFqdn(serverName)
    if (byName) return name && byName.get(name)
    return name ? engineOfName(name) : engineOf([first])
  }
  /** The engine's own word for the name, should it ever read another one than we did. */
  function SNICallback(serverName: string, done: (error: Error | null) => void): void {
    done(engineFor(serverName) ? null : new Error('unknown server name'))
  }
  return { options: options([first]), engineFor }
}

/**
 * The same in every process that reads the same files, and other keys for each set of certificates and after each change
 * of any file, so that no session goes from one to the other.
 */
function ticketOptions({ file }: TicketSecret, contents: LoadedFiles['contents'], engine: string) {
  const digest = createHash('sha256')
  for (const content of contents.values()) digest.update(createHash('sha256').update(content).digest())
  const salt = digest.digest()
  const derived = (use: string, length: number) =>
    Buffer.from(hkdfSync('sha256', contents.get(file) ?? '', salt, `gba-proxy ${use} ${engine}`, length))
  // By default it is made from the command line, which differs between processes.
  return { ticketKeys: derived('ticket', 48), sessionIdContext: derived('session id context', 16).toString('hex') }
}

function buildEngine(
  group: readonly ListenerCertificate[],
  options: TlsOptions,
  front: Front,
  trustOf: number,
): Server {
  const [certificate, ...others] = group
  let engine: Server
  try {
    engine = tls.createServer(options)
  } catch (cause) {
    throw new ConfigError({ file: certificate?.certificateFile ?? '' }, 'is not accepted by the TLS engine', { cause })
  }
  engine.on('secureConnection', (socket: TLSSocket) => front.onSecure(socket, trustOf))
  engine.on('tlsClientError', front.onFailed)
  const staple = certificate?.staple
  // Which of several certificates the client will see is not known when it asks.
  if (staple && others.length === 0) {
    engine.on('OCSPRequest', (_certificate, _issuer, done: (error: Error | null, response: Buffer | null) => void) => {
      done(null, staple.expiresAt === undefined || front.now() < staple.expiresAt ? staple.response : null)
    })
  }
  return engine
}
