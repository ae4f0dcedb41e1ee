import { readFileSync, statSync } from 'node:fs'
import { ConfigError } from '../config/config-error.ts'
import { parseDemands, type RebootstrapDemands } from './rebootstrap.ts'

export interface DemandFile {
  /** As the file last said without a mistake. */
  current(): RebootstrapDemands
  close(): void
}

/**
 * Reads a file of demands, and again each time it changes. A mistake in it, or its loss, changes nothing: the demands
 * that were there stay.
 * @param onMistake  told once of each change that could not be read
 * @throws ConfigError when the first reading fails
 */
export function followDemands(
  file: string,
  onMistake: (error: unknown) => void,
  { everyMs = 2000 }: { readonly everyMs?: number } = {},
): DemandFile {
  // Taken before the reading, so that a change in between is seen the next time.
  let version = versionOf(file)
  let demands = readDemands(file)
  const timer = setInterval(() => {
    const found = versionOf(file)
    if (found === version) return
    version = found
    try {
      demands = readDemands(file)
    } catch (error) {
      onMistake(error)
    }
  }, everyMs).unref()
  return {
    current: () => demands,
    close: () => clearInterval(timer),
  }
}

/** Differs after every change; editors put a new file in the place of the old one. */
function versionOf(file: string): string {
  try {
    const { ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true })
    return `${ino} ${size} ${mtimeNs} ${ctimeNs}`
  } catch {
    return 'out of reach'
  }
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
