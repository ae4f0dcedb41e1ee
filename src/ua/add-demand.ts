import { appendFileSync, readFileSync } from 'node:fs'
import { ConfigError } from '../config/config-error.ts'
import { parseDemands } from './rebootstrap.ts'

/** A demand as the file has it: one of impu, btid and all, and since. */
export type DemandEntry = Readonly<Record<string, string | boolean>>

/** A demand that its file cannot take. `message` says why, and repeats nothing of the file. */
export class DemandRefused extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'DemandRefused'
  }
}

/** Characters of the file: it is read whole whenever it changes, and each demand is looked at by each request. */
const MOST_CHARACTERS = 262_144

/**
 * Puts a demand behind those of a file, which stays as its operator wrote it. One write at the end, so that whoever
 * reads meanwhile finds all of it or nothing, and a mistake changes no demand. Whoever follows the file goes by it then.
 * @throws DemandRefused
 */
export function addDemand(file: string, demand: DemandEntry): void {
  const text = textOf(file)
  const entry = `${text === '' || text.endsWith('\n') ? '' : '\n'}- ${JSON.stringify(demand)}\n`
  if (text.length + entry.length > MOST_CHARACTERS) {
    throw new DemandRefused('the file of demands is full: take out those that are older than any bootstrap')
  }
  try {
    parseDemands(text + entry, file)
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause
    throw new DemandRefused('the file of demands has a mistake, or is no list of lines that begin with -', { cause })
  }
  try {
    appendFileSync(file, entry)
  } catch (cause) {
    throw new DemandRefused('the file of demands cannot be written', { cause })
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new DemandRefused('the file of demands cannot be read', { cause })
  }
}
