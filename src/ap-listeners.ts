import type { Server as HttpsServer } from 'node:https'
import { createServer as createTcpServer, type Server, type Socket } from 'node:net'
import ap, { type ApOptions } from './ap.ts'
import type { KnownAddresses } from './ap-addresses.ts'
import { apClients } from './ap-clients.ts'
import { EXPRESS_BODY_BYTES, expressLane, expressTakes } from './ap-express.ts'
import { type Lane, type LaneRules, laneOf, type Prepared, together, type Way } from './ap-lane.ts'
import { type ApPolicy, nonEmpty, plainPolicyOf } from './ap-policy.ts'
import { type StageOptions, stagesOf } from './ap-stages.ts'
import type { ApConfig } from './config/schema.ts'
import { connectionBehind, connectionOf, connectionOfSocket, followCertificates } from './connection.ts'
import type { EpochMs } from './core/bytes.ts'
import type { Fqdn } from './core/identity.ts'
import { PSK_HINT } from './core/psk-identity.ts'
import { type FaultCode, GbaError, problemOf } from './errors.ts'
import { type Front as Express, strictFront } from './http/front.ts'
import type { Audit, AuditRecord } from './observe/audit.ts'
import type { Logger } from './observe/log.ts'
import type { UpstreamLoad } from './observe/metrics.ts'
import type { AppServer } from './passage.ts'
import { createServer, STOP_GRACE_MS, unborn } from './server.ts'
import type { Shedding } from './shedding.ts'
import { type AddressBlock, addressTest, parseAddressBlock } from './tls/addresses.ts'
import { admitFront, type FrontOptions, frontOf } from './tls/front.ts'
import { withoutFrontHeaders } from './tls/front-headers.ts'
import type { LiveTls } from './tls/live.ts'
import { admitPsk } from './tls/psk-listener.ts'
import { expectsReplay, SPLICED, upgradeListener } from './tls/upgrade.ts'
import type { PskDoor } from './ua/psk.ts'
import { upstreams } from './ut/upstream.ts'

/** Listeners of the proxy, by what speaks there. */
export type ApListener = 'ap' | 'front' | 'tlsUpgrade' | 'plainUa'

/** A server that can be started and stopped, Fastify's or not. */
export interface Listens {
  listen(place: { host: string; port: number; reusePort: boolean; listenTextResolver: () => string }): Promise<unknown>
  close(): Promise<unknown>
  readonly server: Server
}

export type Listening<Name extends string> = readonly [Name, Listens, { readonly host: string; readonly port: number }]

export interface ListenerParts {
  readonly config: ApConfig
  readonly log: Logger
  readonly audit: Audit
  readonly psk: PskDoor
  readonly live: LiveTls
  readonly now: () => EpochMs
  /** Told of what is kept open to an application server. @returns to be called when that is gone */
  readonly registerUpstream: (appServer: string, load: () => UpstreamLoad) => () => void
  /** Of all listeners, and of all rules that name the same servers. */
  readonly addresses: KnownAddresses
  readonly shedding: Shedding
  /** To begin with. */
  readonly rules: ApRules
}

/** All of the proxy that a change of the configuration may replace while it runs. */
export interface ApRules {
  readonly policy: ApPolicy
  readonly authIntAnswerBytes: number
  /** What the stages of all listeners have in common. */
  readonly common: Omit<StageOptions, keyof ApPolicy | 'log' | 'scheme' | 'withoutFront'>
}

export interface ApListeners {
  readonly servers: readonly Listening<ApListener>[]
  readonly endCertificateConnections: () => void
  /** Makes ready to go on by other rules. @throws what opening a way to an application server throws */
  prepare(rules: ApRules): Prepared
}

/** What the listeners share while they are made and while they run. */
interface Making extends ListenerParts {
  /** The rules of this moment. */
  readonly current: () => ApRules
  readonly lanes: ((rules: ApRules) => Prepared)[]
}

/**
 * Every way in that the configuration opens: TLS, and beside it the front's, the upgrade's and the plain one. Each has
 * the same doors and rules, as far as what it knows of its connections reaches.
 */
export async function apListeners(given: ListenerParts): Promise<ApListeners> {
  let current = given.rules
  const parts: Making = { ...given, current: () => current, lanes: [] }
  const { config, log, live } = parts
  const main = await tlsServer(parts)
  const endCertificateConnections = followCertificates(main.server as HttpsServer)
  const servers: Listening<ApListener>[] = [['ap', main, config]]
  const { front, tlsUpgrade, insecurePlainUa: plain } = config
  if (front) {
    const options: FrontOptions = {
      isFront: addressTest(front.addresses.map(blockOf)),
      tells: front.tells,
      headerMs: config.limits.headersTimeoutMs,
      onRefused: (reason, peer) => refusedBeforeTls(parts, reason, peer),
    }
    const server =
      front.tls === 'through'
        ? passingOn(main.server as HttpsServer, options, config.limits.connections)
        : await serverBehind(parts, front, options)
    servers.push(['front', server, front])
  }
  if (tlsUpgrade?.mode === 'upgrade')
    log.warn({ setting: 'ap.tlsUpgrade', port: tlsUpgrade.port }, 'ua.upgrade-from-clear')
  if (tlsUpgrade) servers.push(['tlsUpgrade', upgradeServer(parts, main.server as HttpsServer, tlsUpgrade), tlsUpgrade])
  if (plain) {
    log.warn({ setting: 'ap.insecurePlainUa', port: plain.port }, 'ua.without-tls')
    const policyOf = (policy: ApPolicy) => plainPolicyOf(policy, nonEmpty(plain.qop))
    const server = await fastifyFor(parts, { connectionOf, scheme: 'http', policyOf }, undefined)
    servers.push(['plainUa', server, plain])
  }
  live.check(parts.now())
  return {
    servers,
    endCertificateConnections,
    prepare(rules) {
      const all = together(parts.lanes.map((prepareLane) => () => prepareLane(rules)))
      return {
        commit() {
          all.commit()
          current = rules
        },
        discard: () => all.discard(),
      }
    },
  }
}

/** What a listener makes of the rules for all. */
interface Own {
  readonly scheme: StageOptions['scheme']
  readonly policyOf?: (policy: ApPolicy) => ApPolicy
}

/** A way that says how busy each of its connections to an address is. */
interface LoadedWay extends Way {
  loads(): readonly UpstreamLoad[]
}

function laneFor<Kind extends LoadedWay>(
  { addresses, config, current, lanes, log, registerUpstream }: Making,
  { scheme, policyOf = (policy) => policy }: Own,
  open: (server: AppServer) => Kind,
): Lane<Kind> {
  const withoutFront = withoutFrontOf(config)
  const rulesOf = ({ authIntAnswerBytes, common, policy: ofAll }: ApRules): LaneRules => {
    const policy = policyOf(ofAll)
    const stages = stagesOf({ ...common, ...policy, log, scheme, withoutFront })
    return { stages, appServers: policy.appServers, authIntAnswerBytes }
  }
  const onOpen = (server: AppServer, way: Kind) => {
    const letGo = addresses.hold(server)
    const forget = registerUpstream(server.name, () => addedUp(way.loads()))
    return () => {
      forget()
      letGo()
    }
  }
  const lane = laneOf(rulesOf(current()), open, onOpen)
  lanes.push((rules) => lane.prepare(rulesOf(rules)))
  return lane
}

const addedUp = (loads: readonly UpstreamLoad[]): UpstreamLoad =>
  loads.reduce<UpstreamLoad>((sum, each) => ({ open: sum.open + each.open, waiting: sum.waiting + each.waiting }), {
    open: 0,
    waiting: 0,
  })

async function fastifyFor(
  parts: Making,
  { connectionOf: connectionFor, ...own }: Own & Pick<ApOptions, 'connectionOf'>,
  live: LiveTls | undefined,
  onStopping?: (lingerMs: number) => void,
) {
  const { addresses, audit, config, log, shedding } = parts
  const { limits } = config
  const onRefused = unborn(audit, 'ut.refused')
  const server = createServer({ log, limits, tls: live?.options(), onRefused, ...(onStopping && { onStopping }) })
  const open = (to: AppServer) => upstreams([to], new Map([[to.name, addresses.of(to)]]))
  const lane = laneFor(parts, own, open)
  await server.register(ap, { lane, shedding, connectionOf: connectionFor })
  return server
}

function withoutFrontOf({ front }: ApConfig): StageOptions['withoutFront'] {
  const names = front?.tells === 'headers' ? namesOf(front) : undefined
  return (raw) => (names ? withoutFrontHeaders(raw, names) : raw)
}

/** TLS that ends here, by certificate or by shared key. */
async function tlsServer(parts: Making) {
  const { audit, config, current, log, live, psk } = parts
  let express: Express | undefined
  const own = { connectionOf, scheme: 'https' as const }
  const fastify = await fastifyFor(parts, own, live, (lingerMs) => express?.stop(lingerMs))
  const server = fastify.server as HttpsServer
  if (config.httpFront === 'strict') express = expressBefore(fastify, parts)
  live.attach(server)
  if ([...current().policy.nafs.values()].some((naf) => naf.psk)) {
    admitPsk(server, {
      pskFor: async (nafFqdn, btid, uaProtocolId, raw) => {
        const { common, policy } = current()
        const naf = policy.nafs.get(nafFqdn)?.psk
        return naf && psk.keyFor({ nafFqdn, btid, uaProtocolId }, naf, common.askerOf(sourceAt(raw)))
      },
      hint: PSK_HINT,
      limits: PSK_LIMITS,
      onRefused: (reason, peer, cause) => {
        const fault = cause instanceof GbaError ? cause : undefined
        refusedBeforeTls({ audit }, reason, peer, { door: 'psk', ...(fault && { code: fault.code }) })
        // What our own bounds refuse is no fault, and strangers make much of it.
        if (reason === 'lookup-failed' && fault?.fault.by !== 'policy') {
          log.error({ err: cause }, 'tls.key-lookup-failed')
        }
      },
      ALPNProtocols: ['http/1.1'],
    })
  }
  return fastify
}

/** The lane that the common request takes; everything else goes the general road behind it. */
function expressBefore(fastify: Awaited<ReturnType<typeof fastifyFor>>, parts: Making): Express {
  const { addresses, config, log, shedding } = parts
  const { limits } = config
  const open = (server: AppServer) => apClients(server, addresses.of(server))
  const lane = laneFor(parts, { scheme: 'https' }, open)
  fastify.addHook('onClose', async () => lane.destroy())
  return strictFront(fastify.server as HttpsServer, {
    limits: { ...limits, bodyBytes: Math.min(limits.bodyBytes, EXPRESS_BODY_BYTES) },
    isForGeneral: expectsReplay,
    takes: expressTakes,
    serve: expressLane({ lane, shedding, log, connectionOf: ({ socket }) => connectionOfSocket(socket) }),
  })
}

/** A TLS handshake is short, and the key of a slow BSF comes within its own timeout. */
const PSK_LIMITS = { peekBytes: 65_536, handshakeMs: 10_000 }

type Front = NonNullable<ApConfig['front']>

/** HTTP behind a front that has ended TLS. */
async function serverBehind(parts: Making, front: Front, options: FrontOptions) {
  const headers = front.tells === 'headers' ? namesOf(front) : undefined
  const own = { connectionOf: connectionBehind(headers), scheme: 'https' as const }
  const fastify = await fastifyFor(parts, own, undefined)
  admitFront(fastify.server, options)
  return fastify
}

const namesOf = ({ headers: { client, serverName, suite } }: Front) => ({ client, sni: serverName, suite })

function blockOf(text: string): AddressBlock {
  const block = parseAddressBlock(text)
  if (!block) throw new TypeError('an address that passed validation')
  return block
}

type Upgrade = NonNullable<ApConfig['tlsUpgrade']>

/** What never gets an answer but where to go. */
function upgradeServer(
  { audit, config, current }: Making,
  main: HttpsServer,
  { mode, httpsPort, nafs: own }: Upgrade,
): Listens {
  const { headerBytes, headersTimeoutMs, connections } = config.limits
  const names: ReadonlySet<string> = new Set(own)
  const server = upgradeListener(main, {
    mode,
    httpsPort,
    nafs: (host) => (names.size > 0 ? names.has(host) : current().policy.nafs.has(host as Fqdn)),
    limits: { headerBytes, headersTimeoutMs, handshakeMs: PSK_LIMITS.handshakeMs, connections },
    problem: (status, requestId) => JSON.stringify(problemOf(status, requestId)),
    onRefused: (requestId, status, detail) => {
      if (status === 101)
        audit.record('tls.refused', { requestId, reason: detail === SPLICED ? 'handshake-spliced' : 'handshake-late' })
      else
        audit.record('ut.refused', {
          requestId,
          status,
          detail,
          code: CODES_IN_CLEAR[status] ?? 'UT_REQUEST_MALFORMED',
        })
    },
  })
  return listensOf(server, () => {
    server.closeIdleConnections()
    return () => server.closeAllConnections()
  })
}

/** TCP alone: what comes belongs to the TLS server, once a front has said whose it is. */
function passingOn(main: HttpsServer, options: FrontOptions, connections: number): Listens {
  const open = new Set<Socket>()
  const server = createTcpServer((raw) => main.emit('connection', raw))
  server.maxConnections = connections
  admitFront(server, options, main)
  server.on('connection', (raw: Socket) => {
    open.add(raw)
    raw.once('close', () => open.delete(raw))
  })
  return listensOf(server, () => () => {
    for (const raw of open) raw.destroy()
  })
}

/** @param stopping  begins to end what is open; what it returns cuts the rest off, after a grace */
function listensOf(server: Server, stopping: () => () => void): Listens {
  return {
    server,
    listen: ({ host, port, reusePort }) =>
      new Promise<void>((listening, failed) => {
        server.once('error', failed)
        server.listen({ host, port, reusePort }, () => {
          server.off('error', failed)
          listening()
        })
      }),
    close: () =>
      new Promise<void>((closed) => {
        // Nobody connected yet, or it never listened: then there is nothing to wait for.
        if (!server.listening) return closed()
        const cut = setTimeout(stopping(), STOP_GRACE_MS)
        server.close(() => {
          clearTimeout(cut)
          closed()
        })
      }),
  }
}

const CODES_IN_CLEAR: Readonly<Record<number, FaultCode>> = {
  308: 'UA_TLS_REQUIRED',
  408: 'UT_REQUEST_TIMEOUT',
  426: 'UA_TLS_REQUIRED',
  431: 'UT_HEADERS_TOO_LARGE',
}

/** The record of a connection that never came to speak HTTP. */
export function refusedBeforeTls(
  { audit }: { readonly audit: Audit },
  reason: string,
  peer: Socket,
  more: Pick<AuditRecord, 'door' | 'code'> = {},
): void {
  const source = sourceAt(peer)
  audit.record('tls.refused', { reason, ...more, ...(source && { source }) })
}

/** Where a client is, a front in between or not. */
const sourceAt = (peer: Socket): string => frontOf(peer)?.clientAddress ?? peer.remoteAddress ?? ''
