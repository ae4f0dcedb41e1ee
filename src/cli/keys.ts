import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Command, OptionTable } from './command.ts'
import { parseOptions } from './options.ts'

const OPTIONS = { dir: { type: 'string', default: 'keys', takes: 'directory' } } as const satisfies OptionTable

export const command: Command = {
  name: 'keys',
  summary: 'make the keys that several hosts share',
  usage: `usage: gba-proxy keys [OPTION]...

Makes what store.redis.keysDirectory has to hold, as far as it is not there: the key that seals what lies in Redis, and
those of nonces, pseudonyms and hashed identities. Run it once, and copy the folder to every host by a way that you
would trust with passwords: who has it reads the store.

  --dir DIRECTORY    folder of the files (default: keys); made with mode 0700, files with mode 0600

Prints the files that it made.

Exit code: 0 done, 1 the folder cannot be used, 2 the command line is wrong.

Files:
  seal.key                   opens what the store holds; without it the store is lost
  nonce.key                  signs nonces
  app-server-pseudonym.key   makes the pseudonyms of subscribers at external application servers
  pseudonym.key              hashes identities in logs
  tickets.key                seals TLS session tickets

Examples:
  gba-proxy keys --dir /etc/gba-proxy/keys
      once, for all hosts of a cluster
`,
  options: OPTIONS,
  async run(args, { stdout, stderr }) {
    const { values } = parseOptions(args, OPTIONS)
    const { KEY_FILES, SEAL_KEY_FILE } = await import('../state.ts')
    const { makeKeyFile, readKeyFile } = await import('../store/key-file.ts')
    const { secretFile } = await import('../store/secret-file.ts')
    const { GbaError } = await import('../errors.ts')
    try {
      mkdirSync(values.dir, { recursive: true, mode: 0o700 })
      const made = [SEAL_KEY_FILE, ...Object.values(KEY_FILES)].filter((name) => !existsSync(join(values.dir, name)))
      const seal = join(values.dir, SEAL_KEY_FILE)
      if (!readKeyFile(seal)) makeKeyFile(seal)
      for (const name of Object.values(KEY_FILES)) secretFile(join(values.dir, name))
      stdout.write(made.map((name) => `${join(values.dir, name)}\n`).join(''))
      return 0
    } catch (error) {
      if (!(error instanceof GbaError || (error instanceof Error && 'code' in error))) throw error
      stderr.write(`gba-proxy keys: ${error.message}\n`)
      return 1
    }
  },
}
