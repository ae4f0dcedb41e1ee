import { randomBytes as systemRandom } from 'node:crypto'
import { type EpochMs, toBase64 } from '../core/bytes.ts'
import type { Btid, Fqdn, Impi, Tmpi } from '../core/identity.ts'
import { deriveKsNaf } from '../core/kdf.ts'
import { nafIdOf, UA_HTTP_DIGEST, UA_PSK_TLS13, type UaProtocolId, uaProtocolIdOfSuite } from '../core/naf-id.ts'
import type { PskSeparator } from '../core/psk-identity.ts'
import type { Secret } from '../core/secret.ts'
import type { UeClientCertificate } from './connection.ts'
import { UeError } from './fault.ts'
import type { UeConnection, UeObserver } from './message.ts'
import { standardProfile, type UeProfile } from './profile.ts'
import type { PskKey } from './psk.ts'
import { transactByPsk, withKey } from './psk-transaction.ts'
import type { Sim } from './sim.ts'
import { freshState, type HeldBootstrap, memoryState, type StateStore } from './state.ts'
import { transact } from './transaction.ts'
import { createTransport } from './transport.ts'
import type { UeRequestOptions, UeResponse } from './ua-request.ts'
import { bootstrap as runBootstrap } from './ub.ts'
import { type ConnectRule, parseUeUrl } from './url.ts'

export type { UeClientCertificate } from './connection.ts'
export type { UeRequestOptions, UeResponse } from './ua-request.ts'

export interface UeOptions {
  /** In memory by default: a new card for each UE. */
  readonly state?: StateStore
  readonly profile?: UeProfile
  /** Told of every message on Ub and Ua, in order. */
  readonly observer?: UeObserver
  readonly now?: () => EpochMs
  readonly randomBytes?: (length: number) => Uint8Array
  /** URL in place of the SIM's. */
  readonly bsf?: string
  /** Looked at before the SIM's. */
  readonly connect?: readonly ConnectRule[]
  /** Trust anchors in PEM, in place of the system's; the caller reads the SIM's `caFile`. */
  readonly ca?: string | Uint8Array
  /** Accepts any server certificate: for labs. */
  readonly insecure?: boolean
  /** Ua security protocol identifier: by the suite of the connection (the default), or always this one. */
  readonly uaId?: 'tls-suite' | UaProtocolId
  /** Whether an answer without rspauth is believed; by default as the profile has it. A wrong one never is. */
  readonly rspauth?: 'if-present' | 'require'
  /** Of an answer; 16 MiB by default. */
  readonly maxBodyBytes?: number
  /** On Ua this TLS version only; 1.2 or 1.3 by default, with a bootstrapped key 1.3. */
  readonly tls?: '1.2' | '1.3'
  /** Cipher suites on Ua by their OpenSSL names, with `:` between them; one version's say nothing of the other. */
  readonly ciphers?: string
  /** Shown on Ua. Then there is no Digest, and no bootstrap, until a 401 asks for it. */
  readonly clientCertificate?: UeClientCertificate
  /** On Ua, TLS stands on the bootstrapped key, in place of certificates and Digest. */
  readonly psk?: true | UePskOptions
  /** On Ua, `http` means: change to TLS first (RFC 2817). Nothing of a request goes out in clear. */
  readonly upgrade?: boolean
}

export interface UePskOptions {
  /** Between prefix and B-TID of the identity; `;` by default. */
  readonly separator?: PskSeparator
}

export interface UeBootstrap {
  readonly impi: Impi
  readonly btid: Btid
  readonly tmpi?: Tmpi
  readonly expiresAt: EpochMs
  /** The key shared with one NAF under one Ua protocol. */
  ksNaf(naf: Fqdn, id: UaProtocolId): Secret
}

/** What another program needs to speak as this UE to one NAF. */
export interface UeCredentials {
  readonly btid: Btid
  readonly ksNaf: Secret
  readonly uaProtocolId: UaProtocolId
  /** base64(Ks_NAF), the Digest password. */
  readonly password: string
  readonly connection: UeConnection
}

export interface Ue {
  /** Runs Ub, whatever is held. */
  bootstrap(signal?: AbortSignal): Promise<UeBootstrap>
  /** One transaction on Ua, bootstrapping when there is need. A status is never an error. @throws UeError */
  request(method: string, url: string, options?: UeRequestOptions): Promise<UeResponse>
  /** Key for the NAF at this URL and the suite that a handshake with it yields now. @throws UeError */
  credentials(url: string, signal?: AbortSignal): Promise<UeCredentials>
  /** Drops bootstrap, TMPI and nonces; the card keeps its SQN. */
  forget(): void
  close(): void
}

/**
 * A UE with GBA: bootstraps on Ub, authenticates with its B-TID on Ua.
 * @throws RangeError for a bootstrapped key and a client certificate at once
 * @see 3GPP TS 24.109 clauses 4 and 5 (Rel-17)
 */
export function createUe(sim: Sim, options: UeOptions = {}): Ue {
  const { profile = standardProfile, now = Date.now, observer = () => {}, rspauth = profile.rspauth } = options
  const randomBytes = options.randomBytes ?? ((length: number) => new Uint8Array(systemRandom(length)))
  const state = options.state ?? memoryState(freshState(sim))
  const bsf = options.bsf === undefined ? sim.bsf : parseUeUrl(options.bsf)
  if (options.psk && options.clientCertificate)
    throw new RangeError('either a bootstrapped key or a client certificate')
  const { ca, insecure, maxBodyBytes, tls, ciphers, clientCertificate, upgrade } = options
  const common = {
    connections: profile.connections,
    connect: [...(options.connect ?? []), ...sim.connect],
    ...(ca !== undefined && { ca }),
    ...(insecure !== undefined && { insecure }),
    ...(maxBodyBytes !== undefined && { maxBodyBytes }),
  }
  const ub = createTransport(common)
  const ua = createTransport({
    ...common,
    ...(tls && { tls }),
    ...(ciphers !== undefined && { ciphers }),
    ...(clientCertificate && { clientCertificate }),
    ...(upgrade !== undefined && { upgrade }),
    onUpgrade: ({ host }, sent, note) =>
      observer({ from: 'UE', to: 'AP', interface: 'Ua', host, at: now(), ...sent, note }),
  })
  const last = new Map<string, UeConnection>()

  let running: Promise<HeldBootstrap> | undefined
  /** One run at a time: transactions that need one meanwhile share it. */
  const bootstrap = (signal?: AbortSignal): Promise<HeldBootstrap> => {
    running ??= runBootstrap({ sim, bsf, transport: ub, state, profile, observer, now, randomBytes, signal }).finally(
      () => {
        running = undefined
      },
    )
    return running
  }
  const live = (): HeldBootstrap | undefined => {
    const held = state.read().bootstrap
    return held && now() < held.expiresAt ? held : undefined
  }
  const fixedId = options.uaId === 'tls-suite' ? undefined : options.uaId
  const uaProtocolId = ({ tls }: UeConnection): UaProtocolId => {
    if (fixedId) return fixedId
    if (!tls) return UA_HTTP_DIGEST
    if (tls.psk && tls.version === 'TLSv1.3') return UA_PSK_TLS13
    const id = uaProtocolIdOfSuite(tls.suite)
    if (!id) throw new UeError('SUITE_UNKNOWN', `no code point is known for ${tls.suite}`)
    return id
  }
  const ksNaf = ({ ks, rand }: HeldBootstrap, naf: Fqdn, id: UaProtocolId): Secret =>
    deriveKsNaf(ks, rand, sim.impi, nafIdOf(naf, id))
  const { separator = ';' } = typeof options.psk === 'object' ? options.psk : {}
  const pskKey = (held: HeldBootstrap, naf: Fqdn): PskKey => ({
    btid: held.btid,
    separator,
    ksNaf: (id) => ksNaf(held, naf, fixedId ?? id),
  })
  // By certificate the UE is known already: whoever wants Digest as well has to say so.
  const protectsUnasked = profile.remembersNonce && clientCertificate === undefined

  return {
    async bootstrap(signal) {
      const held = await bootstrap(signal)
      const { tmpi } = state.read()
      return {
        impi: sim.impi,
        btid: held.btid,
        expiresAt: held.expiresAt,
        ...(tmpi && { tmpi }),
        ksNaf: (naf, id) => ksNaf(held, naf, id),
      }
    },
    request(method, url, request = {}) {
      const key = (held: HeldBootstrap, naf: Fqdn, connection: UeConnection) =>
        ksNaf(held, naf, uaProtocolId(connection))
      const around = { transport: ua, state, profile, observer, now, randomBytes, rspauth, last, protectsUnasked }
      const context = { ...around, live, bootstrap, ksNaf: key }
      return options.psk
        ? transactByPsk({ ...context, pskKey }, method, url, request)
        : transact(context, method, url, request)
    },
    async credentials(urlText, signal) {
      const url = parseUeUrl(urlText)
      const credentials = (held: HeldBootstrap, connection: UeConnection) => {
        const id = uaProtocolId(connection)
        const key = ksNaf(held, url.host, id)
        return { btid: held.btid, ksNaf: key, uaProtocolId: id, password: toBase64(key.expose(32)), connection }
      }
      if (options.psk) {
        return withKey({ live, bootstrap }, signal, async (held) =>
          credentials(held, await ua.probe({ url, key: pskKey(held, url.host), signal })),
        )
      }
      const connection = await ua.probe({ url, signal })
      return credentials(live() ?? (await bootstrap(signal)), connection)
    },
    forget() {
      state.update(({ usim }) => ({ usim, nonces: new Map() }))
    },
    close() {
      ub.close()
      ua.close()
    },
  }
}
