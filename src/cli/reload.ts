import { RestartNeeded } from '../config/changes.ts'
import { ConfigError } from '../config/config-error.ts'
import { versionOf } from '../config/file-version.ts'
import type { Logger } from '../observe/log.ts'

/**
 * Takes over a configuration and logs what came of it: `config.reloaded` with the keys that changed, `config.unchanged`,
 * or `config.refused` with what is wrong and where, when all is as before.
 * @param take  all or nothing. @returns the keys that changed
 * @returns whether what the file says is in use
 */
export async function takeOver(
  file: string,
  log: Logger,
  take: () => readonly string[] | Promise<readonly string[]>,
): Promise<boolean> {
  try {
    const keys = await take()
    if (keys.length > 0) log.info({ file, keys }, 'config.reloaded')
    else log.info({ file }, 'config.unchanged')
    return true
  } catch (error) {
    tellRefusal(file, log, error)
    return false
  }
}

export function tellRefusal(file: string, log: Logger, error: unknown): void {
  log.error({ file, ...refusalOf(error) }, 'config.refused')
}

function refusalOf(error: unknown): Readonly<Record<string, unknown>> {
  if (error instanceof RestartNeeded) return { needRestart: error.keys }
  if (!(error instanceof ConfigError)) return { err: error }
  const { file, line, key, detail } = error
  // `key` is a name under which the log lets nothing pass.
  return { file, ...(line !== undefined && { line }), ...(key !== undefined && { at: key }), detail }
}

/** Runs one at a time, in the order of the asking. */
export function oneByOne(): (run: () => Promise<unknown>) => Promise<void> {
  let last: Promise<void> = Promise.resolve()
  return (run) => {
    last = last.then(run).then(
      () => {},
      () => {},
    )
    return last
  }
}

/**
 * Tells of each change of these files, once they look the same twice: whoever writes one slowly is waited for.
 * @param files  asked each time
 * @param since  version of the first of them that is in use already
 * @returns stops it
 */
export function watchFiles(
  files: () => readonly string[],
  onChange: () => void,
  since: string,
  everyMs = 1000,
): () => void {
  const versions = () => files().map(versionOf).join('\n')
  let told = [since, ...files().slice(1).map(versionOf)].join('\n')
  let seen = told
  const timer = setInterval(() => {
    const found = versions()
    if (found !== told && found === seen) {
      told = found
      onChange()
    }
    seen = found
  }, everyMs).unref()
  return () => clearInterval(timer)
}
