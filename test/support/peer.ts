import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type TestContext, test } from 'node:test'

/** The program's path, or undefined when PATH has none of that name. */
export function findProgram(name: string): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  return folders.map((folder) => join(folder, name)).find(isExecutable)
}

/**
 * A test against programs that are not ours. Where one is missing it is skipped, and says which;
 * with GBA_PEERS=required in the environment it fails instead.
 */
export function peerTest(
  name: string,
  programs: readonly string[],
  fn: (t: TestContext) => void | Promise<void>,
): void {
  const missing = programs.filter((program) => findProgram(program) === undefined).join(', ')
  const required = process.env.GBA_PEERS === 'required'
  if (missing !== '' && !required) process.stderr.write(`peer test skipped, not installed: ${missing}: ${name}\n`)
  test(name, { skip: missing !== '' && !required && `not installed: ${missing}` }, (t) => {
    if (missing !== '') throw new Error(`GBA_PEERS=required, but not installed: ${missing}`)
    return fn(t)
  })
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
