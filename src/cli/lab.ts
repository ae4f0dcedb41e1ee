import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type App, startApp } from '../app.ts'
import { impuOf, LAB_NAF, LAB_PORTS, labConfig, prepareLab, writeSims } from '../lab.ts'
import { createLog } from '../observe/log.ts'
import type { Command } from './command.ts'
import { parseOptions } from './options.ts'
import { stopped } from './serve.ts'
import { explainStart } from './start.ts'

export const command: Command = {
  name: 'lab',
  summary: 'run every role in one process, with three subscribers and fresh certificates',
  usage: `usage: gba-proxy lab [OPTION]...

An authentication proxy, a BSF, an HSS stub and an XCAP server on loopback. Certificates, subscribers with random
keys, SIM files and state are made in a folder at the first start, and kept: delete the folder for a new lab.

      --dir DIRECTORY   that folder (default: lab)
  -v, --verbose         log and audit records on the screen, identities in clear

Exit code: 0 stopped as asked (Ctrl-C), 1 could not start.
`,
  async run(args, { stdout, stderr, signal }) {
    const { values } = parseOptions(args, {
      dir: { type: 'string', default: 'lab' },
      verbose: { type: 'boolean', short: 'v', default: false },
    })
    await prepareLab(values.dir, { randomBytes, now: Date.now() })
    const level = values.verbose ? 'info' : 'silent'
    const config = labConfig(values.dir, LAB_PORTS, { log: { level, identities: 'clear' } })
    const log = createLog({ level, identities: 'clear' })
    const app = await explainStart(startApp(config, { log }), stderr)
    if (!app) return 1
    writeSims(values.dir, { ub: app.addresses.ub?.port ?? 0, ap: app.addresses.ap?.port ?? 0 })
    stdout.write(welcome(values.dir, app))
    await stopped(signal)
    await app.close()
    return 0
  },
}

function welcome(directory: string, { addresses }: App): string {
  const at = (name: 'ub' | 'zn' | 'ap' | 'as') => `${addresses[name]?.host}:${addresses[name]?.port}`
  const sim = directory === 'lab' ? 'alice' : join(directory, 'sims', 'alice.yaml')
  const url = `https://${LAB_NAF}/resource-lists/users/${impuOf('alice')}/index`
  return `
gba-proxy lab is up.

  AP  (Ut, HTTPS)        ${at('ap')}   as ${LAB_NAF}
  BSF (Ub, HTTP)         ${at('ub')}
  BSF (Zn, mutual TLS)   ${at('zn')}
  AS  (XCAP, behind AP)  ${at('as')}

  subscriber  ${impuOf('alice')}, SIM file ${join(directory, 'sims', 'alice.yaml')}; also bob and carol

Try, in another terminal:

  npm run -s ue -- --sim ${sim} -v '${url}'
      bootstraps, authenticates, and gets 404: alice has no list yet

  npm run -s ue -- --sim ${sim} -i -X PUT -d '<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"/>' '${url}'
      makes one: 201, and no second bootstrap

  npm run -s ue -- --sim ${sim} --print-curl '${url}'
      the curl line that does the same

  npm run -s ue -- --sim ${sim} --psk '${url}'
      the same by TLS with the bootstrapped key, and no Digest

  npm run demo
      the whole flow with a ladder, in a lab of its own

Ctrl-C stops the lab. 'npm start -- -v' shows every decision as it is made.
`
}
