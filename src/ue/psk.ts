import type { ConnectionOptions, TLSSocket } from 'node:tls'
import type { Btid } from '../core/identity.ts'
import { UA_PSK_TLS13, type UaProtocolId, uaProtocolIdOfSuiteCode } from '../core/naf-id.ts'
import { formatPskIdentity, PSK_HINT, type PskSeparator } from '../core/psk-identity.ts'
import type { Secret } from '../core/secret.ts'
import { alertOf } from './connection-fault.ts'
import { UeError } from './fault.ts'

/** The key that a handshake with one NAF is to stand on. */
export interface PskKey {
  readonly btid: Btid
  readonly separator: PskSeparator
  /** Ks_NAF of this NAF under one Ua protocol. */
  readonly ksNaf: (id: UaProtocolId) => Secret
}

/** One attempt at a connection, with these settings in place of those for certificates. @throws UeError */
export type Handshake = (settings: ConnectionOptions) => Promise<TLSSocket>

/**
 * Suites of shared-key TLS 1.2 by their OpenSSL names, in this UE's order. Those of CBC are tried only on wish.
 * @see RFC 5487 section 3 (2009), RFC 7905 section 2 (2016)
 */
export const PSK_SUITES: ReadonlyMap<string, number> = new Map([
  ['DHE-PSK-AES128-GCM-SHA256', 0x00aa],
  ['ECDHE-PSK-CHACHA20-POLY1305', 0xccac],
  ['DHE-PSK-AES256-GCM-SHA384', 0x00ab],
  ['DHE-PSK-CHACHA20-POLY1305', 0xccad],
  ['PSK-AES128-GCM-SHA256', 0x00a8],
  ['PSK-AES256-GCM-SHA384', 0x00a9],
  ['PSK-CHACHA20-POLY1305', 0xccab],
])

const PSK_SUITES_OF_CBC: ReadonlyMap<string, number> = new Map([
  ['ECDHE-PSK-AES128-CBC-SHA256', 0xc037],
  ['ECDHE-PSK-AES256-CBC-SHA384', 0xc038],
  ['DHE-PSK-AES128-CBC-SHA256', 0x00b2],
  ['DHE-PSK-AES256-CBC-SHA384', 0x00b3],
  ['PSK-AES128-CBC-SHA256', 0x00ae],
  ['PSK-AES256-CBC-SHA384', 0x00af],
  ['PSK-AES128-CBC-SHA', 0x008c],
  ['PSK-AES256-CBC-SHA', 0x008d],
])

/** An external key without a hash of its own goes with SHA-256: with another suite it would not be used. */
const TLS13_SUITES = ['TLS_AES_128_GCM_SHA256', 'TLS_CHACHA20_POLY1305_SHA256']

/**
 * Opens a connection of TLS 1.3 on the bootstrapped key, as an external one.
 * @throws UeError PSK_REFUSED when the server does not know the B-TID, or has another key
 * @see 3GPP TS 24.109 clause 5.3.3.1.3 (Rel-17)
 */
export async function openByPsk13(key: PskKey, ciphers: string | undefined, attempt: Handshake): Promise<TLSSocket> {
  const suites = ciphers?.split(':') ?? TLS13_SUITES
  if (!suites.every((suite) => TLS13_SUITES.includes(suite))) throw unusable(ciphers)
  const credentials = credentialsOf(key, UA_PSK_TLS13)
  const versions = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const
  const socket = await attempt({ ...versions, ciphers: suites.join(':'), pskCallback: () => credentials }).catch(
    (error: unknown) => {
      const alert = alertOf(error)
      // A server that has no certificate either fails the handshake when it knows no key.
      const isKeyFault = alert === HANDSHAKE_FAILURE || alert === ILLEGAL_PARAMETER || isRefusal(alert)
      throw isKeyFault ? refused(error) : error
    },
  )
  // An external key counts as resumption, and there is nothing else here that could be resumed.
  if (socket.isSessionReused()) return socket
  socket.destroy()
  throw refused(undefined)
}

/**
 * Opens a connection of TLS 1.2 on the bootstrapped key. The key depends on the suite that the server chooses, and the
 * TLS library asks for the key without telling the suite: so one suite is offered at a time, each on a connection of
 * its own, until the server takes one.
 * @param favourite  OpenSSL name of the suite to try first: the one that went well before
 * @throws UeError PSK_REFUSED when the server does not know the B-TID, or has another key; TLS_FAILED when it takes no
 * suite, or its hint does not speak of GBA
 * @see 3GPP TS 24.109 clause 5.3.3.1.2 (Rel-17)
 */
export async function openByPsk12(
  key: PskKey,
  ciphers: string | undefined,
  favourite: string | undefined,
  attempt: Handshake,
): Promise<TLSSocket> {
  const suites = suitesOf(ciphers)
  const ordered = [...suites.filter(([name]) => name === favourite), ...suites.filter(([name]) => name !== favourite)]
  for (const [name, code] of ordered) {
    const socket = await openBySuite(key, name, code, attempt)
    if (socket) return socket
  }
  throw new UeError('TLS_FAILED', 'the server takes none of the suites with a shared key')
}

/** @returns undefined when the server does not take this suite */
async function openBySuite(
  key: PskKey,
  ciphers: string,
  code: number,
  attempt: Handshake,
): Promise<TLSSocket | undefined> {
  const credentials = credentialsOf(key, uaProtocolIdOfSuiteCode(code))
  let hint: string | null | undefined
  const pskCallback = (text: string | null) => {
    hint = text
    return isOurs(hint) ? credentials : null
  }
  try {
    const socket = await attempt({ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers, pskCallback })
    if (hint !== undefined && socket.getCipher().name === ciphers) return socket
    socket.destroy()
    throw refused(undefined)
  } catch (error) {
    if (hint === undefined) {
      if (alertOf(error) === HANDSHAKE_FAILURE || alertOf(error) === INSUFFICIENT_SECURITY) return undefined
      throw error
    }
    if (!isOurs(hint)) {
      throw new UeError('TLS_FAILED', `the server gives no hint that it takes bootstrapped keys: ${hint ?? 'none'}`)
    }
    throw alertOf(error) === HANDSHAKE_FAILURE || isRefusal(alertOf(error)) ? refused(error) : error
  }
}

const BAD_RECORD_MAC = 20
const HANDSHAKE_FAILURE = 40
/** What OpenSSL says to a wrong key in TLS 1.3, where RFC 8446 section 4.2.11 wants decrypt_error. */
const ILLEGAL_PARAMETER = 47
const DECRYPT_ERROR = 51
const INSUFFICIENT_SECURITY = 71
const UNKNOWN_PSK_IDENTITY = 115

/** An unknown identity may be answered as if the key were wrong; and so is a key that is. RFC 4279 section 2. */
const isRefusal = (alert: number | undefined): boolean =>
  alert === UNKNOWN_PSK_IDENTITY || alert === DECRYPT_ERROR || alert === BAD_RECORD_MAC

/** A hint may list several kinds of key. */
const isOurs = (hint: string | null | undefined): boolean => hint?.split(';').includes(PSK_HINT) ?? false

function refused(cause: unknown): UeError {
  return new UeError('PSK_REFUSED', 'the server does not know the B-TID, or has another key', { cause })
}

function credentialsOf({ btid, separator, ksNaf }: PskKey, id: UaProtocolId): { identity: string; psk: Uint8Array } {
  try {
    return { identity: formatPskIdentity(btid, separator), psk: ksNaf(id).expose(32) }
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause
    throw new UeError('BSF_ANSWER_MALFORMED', 'the B-TID is too long for an identity in TLS', { cause })
  }
}

function suitesOf(ciphers: string | undefined): (readonly [name: string, code: number])[] {
  if (ciphers === undefined) return [...PSK_SUITES]
  return ciphers.split(':').map((name) => {
    const code = PSK_SUITES.get(name) ?? PSK_SUITES_OF_CBC.get(name)
    if (code === undefined) throw unusable(ciphers)
    return [name, code]
  })
}

const unusable = (ciphers: string | undefined): UeError =>
  new UeError('CIPHERS_UNUSABLE', `not the names of suites that go with a bootstrapped key: ${ciphers}`)
