import { randomBytes, randomInt } from 'node:crypto'
import { closeSync, fstatSync, fsyncSync, linkSync, openSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fromHex, toHex } from '../core/bytes.ts'
import { Secret } from '../core/secret.ts'
import { GbaError } from '../errors.ts'
import type { SealKeys } from './seal.ts'

const COMMENT =
  '# Keys of the gba-proxy store. Who reads this file reads the store; without it the store is lost.\n' +
  '# The last seal line seals, every seal line opens: to rotate, add one.\n'
const LINE = /^(?:(index)|seal ([0-9a-f]{8})) ([0-9a-f]{64})$/

/**
 * The keys in `path`.
 * @returns undefined when there is no such file
 * @throws GbaError STORE_UNAVAILABLE when others may read it or it is not a key file
 */
export function readKeyFile(path: string): SealKeys | undefined {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (cause) {
    if (isErrno(cause, 'ENOENT')) return undefined
    throw new GbaError('STORE_UNAVAILABLE', `key file ${path} cannot be read: let this user read it`, { cause })
  }
  try {
    if ((fstatSync(file).mode & 0o077) !== 0) {
      throw new GbaError('STORE_UNAVAILABLE', `key file ${path} is open to other users: chmod 600 it`)
    }
    return parseKeys(path, readFileSync(file, 'utf8'))
  } finally {
    closeSync(file)
  }
}

/**
 * Makes a key file with fresh keys, unless another process was quicker. Durable on return: no record may ever outlive
 * its key.
 */
export function makeKeyFile(path: string): void {
  try {
    writeKeyFile(path)
  } catch (cause) {
    throw new GbaError('STORE_UNAVAILABLE', `key file ${path} cannot be made: let this user write there`, { cause })
  }
}

function writeKeyFile(path: string): void {
  const key = () => toHex(randomBytes(32))
  const id = randomInt(1, 2 ** 32)
    .toString(16)
    .padStart(8, '0')
  const draft = `${path}.${toHex(randomBytes(8))}`
  writeFileSync(draft, `${COMMENT}index ${key()}\nseal ${id} ${key()}\n`, { flag: 'wx', mode: 0o600, flush: true })
  try {
    linkSync(draft, path) // unlike rename, never takes the place of a key file that is there
  } catch (cause) {
    if (!isErrno(cause, 'EEXIST')) throw cause
  } finally {
    unlinkSync(draft)
  }
  const directory = openSync(dirname(path), 'r')
  fsyncSync(directory)
  closeSync(directory)
}

function parseKeys(path: string, text: string): SealKeys {
  let index: Secret | undefined
  let current: number | undefined
  const keys = new Map<number, Secret>()
  for (const [at, line] of text.split('\n').entries()) {
    if (line === '' || line.startsWith('#')) continue
    const [, isIndex, id, hex = ''] = LINE.exec(line) ?? []
    const secret = new Secret(fromHex(hex))
    if (isIndex !== undefined && index === undefined) index = secret
    else if (id !== undefined && !keys.has(Number.parseInt(id, 16))) {
      current = Number.parseInt(id, 16)
      keys.set(current, secret)
    } else {
      throw new GbaError('STORE_UNAVAILABLE', `key file ${path} line ${at + 1} is not a key line: restore the file`)
    }
  }
  if (index === undefined || current === undefined) {
    throw new GbaError('STORE_UNAVAILABLE', `key file ${path} lacks an index or a seal line: restore the file`)
  }
  return { index, current, keys }
}

const isErrno = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code
