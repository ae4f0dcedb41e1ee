import { randomBytes } from 'node:crypto'
import { linkSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { type EpochMs, toHex } from '../core/bytes.ts'
import { Secret } from '../core/secret.ts'
import { GbaError } from '../errors.ts'

/**
 * A key of 32 octets kept as hex in a file of mode 0600; made on first use, by exactly one of several processes.
 * @throws GbaError STORE_UNAVAILABLE when the file cannot be read or holds something else
 */
export function secretFile(path: string): Secret {
  return read(path) ?? make(path)
}

/**
 * The same for a key that several hosts share: it is never made here, since each host would make its own.
 * @throws GbaError STORE_UNAVAILABLE where it is missing, too
 */
export function sharedSecretFile(path: string): Secret {
  const secret = read(path)
  if (!secret)
    throw new GbaError('STORE_UNAVAILABLE', `${path} is missing; 'gba-proxy keys' makes it, once for all hosts`)
  return secret
}

/**
 * Puts a fresh key into the file when the one in it is older than that.
 * @throws GbaError STORE_UNAVAILABLE when it cannot be written
 */
export function renewSecretFile(path: string, now: EpochMs, maxAgeMs: number): void {
  try {
    if (now - statSync(path).mtimeMs < maxAgeMs) return
    renameSync(writeFresh(path), path)
  } catch (cause) {
    throw new GbaError('STORE_UNAVAILABLE', `${path} cannot be renewed`, { cause })
  }
}

function read(path: string): Secret | undefined {
  let text: string
  try {
    if (statSync(path).mode & 0o077) throw new GbaError('STORE_UNAVAILABLE', `${path} is readable by others: chmod 600`)
    text = readFileSync(path, 'utf8').trim()
  } catch (cause) {
    if (cause instanceof GbaError) throw cause
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined
    throw new GbaError('STORE_UNAVAILABLE', `${path} cannot be read`, { cause })
  }
  if (!/^[0-9a-f]{64}$/i.test(text)) throw new GbaError('STORE_UNAVAILABLE', `${path} is not 64 hexadecimal digits`)
  return new Secret(Buffer.from(text, 'hex'))
}

function make(path: string): Secret {
  let fresh: string | undefined
  try {
    fresh = writeFresh(path)
    // The link fails where another process was first; its key is then the key.
    linkSync(fresh, path)
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')) {
      throw new GbaError('STORE_UNAVAILABLE', `${path} cannot be made`, { cause })
    }
  } finally {
    if (fresh !== undefined) rmSync(fresh, { force: true })
  }
  const made = read(path)
  if (!made) throw new GbaError('STORE_UNAVAILABLE', `${path} vanished`)
  return made
}

/** A fresh key in a file beside. */
function writeFresh(path: string): string {
  const fresh = `${path}.${toHex(randomBytes(6))}`
  writeFileSync(fresh, `${toHex(randomBytes(32))}\n`, { mode: 0o600, flag: 'wx' })
  return fresh
}
