import assert from 'node:assert/strict'
import { parseArgs } from 'node:util'
import { COMMANDS } from '../../src/cli/index.ts'

/** Makes sure that a command line of a deployment file is one that this program takes. @param words from the subcommand on */
export async function assertKnownCommand(words: readonly string[]): Promise<void> {
  const [name = '', ...args] = words
  const load = COMMANDS[name] ?? assert.fail(`no subcommand ${name}`)
  const { options = {}, positionals = [] } = await load()
  const parsed = parseArgs({ args, options, allowPositionals: true, strict: true })
  assert.ok(parsed.positionals.length <= positionals.length + (name === 'ue' ? 1 : 0), words.join(' '))
}

/** Whether a command line calls this program, and with what. */
export const afterProgram = (words: readonly string[]): readonly string[] | undefined =>
  /(?:^|\/)gba-proxy$/.test(words[0] ?? '') ? words.slice(1) : undefined
