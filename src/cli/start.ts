import type { App } from '../app.ts'
import { GbaError } from '../errors.ts'
import type { Output } from './command.ts'

/**
 * Waits for the start and says what kept it from happening, where that is the machine and not the configuration.
 * @returns undefined when it did not start; a ConfigError goes on to the caller
 */
export async function explainStart(start: Promise<App>, stderr: Output): Promise<App | undefined> {
  try {
    return await start
  } catch (error) {
    const reason = reasonOf(error)
    if (reason === undefined) throw error
    stderr.write(`gba-proxy: not started: ${reason}\n`)
    return undefined
  }
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
