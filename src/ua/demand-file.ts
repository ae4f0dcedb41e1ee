import { readFileSync } from 'node:fs'
import { ConfigError } from '../config/config-error.ts'
import { type FollowedFile, followFile } from './followed-file.ts'
import { parseDemands, type RebootstrapDemands } from './rebootstrap.ts'

export type DemandFile = FollowedFile<RebootstrapDemands>

/**
 * Reads a file of demands, and again each time it changes. A mistake in it, or its loss, changes nothing: the demands
 * that were there stay.
 * @param onMistake  told once of each change that could not be read
 * @throws ConfigError when the first reading fails
 */
export function followDemands(
  file: string,
  onMistake: (error: unknown) => void,
  options: { readonly everyMs?: number } = {},
): DemandFile {
  return followFile(file, () => readDemands(file), onMistake, options)
}

function readDemands(file: string): RebootstrapDemands {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ConfigError({ file }, 'cannot be read; an empty file demands nothing', { cause })
  }
  return parseDemands(text, file)
}
