import { createHash } from 'node:crypto'
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { ConfigError } from '../config/config-error.ts'
import { loadSubscribers, type Subscribers } from './subscribers.ts'

export interface SubscribersFile {
  readonly subscribers: Subscribers
  /** SHA-256 of the text: whether anything changed shows without comparing keys. */
  readonly digest: string
}

/**
 * The subscribers of a file, whose K and OPc open everything: whoever may do something with the file is told of.
 * @param warn told what is unwise but works: the file and a sentence
 * @throws ConfigError as loadSubscribers, and for a file that cannot be read
 */
export function readSubscribers(file: string, warn: (file: string, detail: string) => void): SubscribersFile {
  const { mode, text } = readWhole(file)
  if (mode & 0o007) warn(file, `holds keys and is open to every user; run: chmod 600 ${file}`)
  return { subscribers: loadSubscribers(text, file), digest: createHash('sha256').update(text).digest('hex') }
}

function readWhole(file: string): { readonly mode: number; readonly text: string } {
  let handle: number | undefined
  try {
    handle = openSync(file, 'r')
    return { mode: fstatSync(handle).mode, text: readFileSync(handle, 'utf8') }
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown'
    throw new ConfigError({ file, key: 'hss.subscribersFile' }, `cannot be read (${code})`, { cause })
  } finally {
    if (handle !== undefined) closeSync(handle)
  }
}
