import { type App, type AppParts, startApp } from '../app.ts'
import type { Config } from '../config/schema.ts'
import { GbaError } from '../errors.ts'
import { lendRoot } from '../privileges.ts'
import type { Output } from './command.ts'

/**
 * Waits for the start and says what kept it from happening, where that is the machine and not the configuration.
 * @returns undefined when it did not start; a ConfigError goes on to the caller
 */
export async function explainStart<Started>(start: Promise<Started>, stderr: Output): Promise<Started | undefined> {
  try {
    return await start
  } catch (error) {
    const reason = reasonOf(error)
    if (reason === undefined) throw error
    stderr.write(`gba-proxy: not started: ${reason}\n`)
    return undefined
  }
}

/**
 * Starts it with root's rights for the ports only, and without them from then on.
 * @param file of the configuration, for errors
 * @returns undefined when it did not start; a ConfigError goes on to the caller
 */
export async function startUnprivileged(
  config: Config,
  file: string,
  stderr: Output,
  parts: Pick<AppParts, 'log' | 'place' | 'wantsAdmin' | 'demands'> = {},
): Promise<App | undefined> {
  const privileges = lendRoot(config, file)
  const app = await explainStart(
    startApp(config, { ...parts, ...(privileges && { privileged: privileges.asRoot }) }),
    stderr,
  )
  privileges?.drop()
  return app
}

function reasonOf(error: unknown): string | undefined {
  if (error instanceof GbaError) return error.message
  if (!(error instanceof Error) || !('code' in error)) return undefined
  const place = 'address' in error && 'port' in error ? `${error.address}:${error.port}` : undefined
  if (error.code === 'EADDRINUSE') return `${place} is in use by another program`
  if (error.code === 'EACCES' || error.code === 'EADDRNOTAVAIL')
    return `${place ?? error.message} cannot be listened on`
  return undefined
}
