import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type App, startApp } from '../app.ts'
import { freePorts, impuOf, LAB_NAF, LAB_PORTS, labConfig, prepareLab, writeSims } from '../lab.ts'
import { createLog } from '../observe/log.ts'
import type { Command, OptionTable } from './command.ts'
import { parseOptions } from './options.ts'
import { stopped } from './serve.ts'
import { explainStart } from './start.ts'

const OPTIONS = {
  dir: { type: 'string', default: 'lab', takes: 'directory' },
  'free-ports': { type: 'boolean', default: false },
  verbose: { type: 'boolean', short: 'v', default: false },
} as const satisfies OptionTable

export const command: Command = {
  name: 'lab',
  summary: 'run every role in one process, with three subscribers and fresh certificates',
  usage: `usage: gba-proxy lab [OPTION]...

An authentication proxy, a BSF, an HSS stub and an XCAP server on loopback. Certificates, subscribers with random
keys, SIM files and state are made in a folder at the first start, and kept: delete the folder for a new lab.

      --dir DIRECTORY   that folder (default: lab)
      --free-ports      ports that nobody uses, in the place of 8080, 8443, 8444 and 8085: for a second lab
  -v, --verbose         log and audit records on the screen, identities in clear

Exit code: 0 stopped as asked (Ctrl-C), 1 could not start.

Files:
  lab/certs              CA, certificates and keys
  lab/subscribers.yaml   the subscribers, with their keys
  lab/sims/NAME.yaml     SIM of alice, bob or carol, for 'gba-proxy ue --sim NAME'
  lab/state              the store

Examples:
  gba-proxy lab -v
      shows every decision as it is made
  gba-proxy lab --dir another --free-ports
      a second one beside it
`,
  options: OPTIONS,
  async run(args, { stdout, stderr, signal }) {
    const { values } = parseOptions(args, OPTIONS)
    await prepareLab(values.dir, { randomBytes, now: Date.now() })
    const ports = values['free-ports'] ? await freePorts() : LAB_PORTS
    const level = values.verbose ? 'info' : 'silent'
    const config = labConfig(values.dir, ports, { log: { level, identities: 'clear' } })
    const log = createLog({ level, identities: 'clear' })
    const app = await explainStart(startApp(config, { log, wantsAdmin: true }), stderr)
    if (!app) return 1
    writeSims(values.dir, { ub: app.addresses.ub?.port ?? 0, ap: app.addresses.ap?.port ?? 0 })
    stdout.write(welcome(values.dir, app))
    await stopped(signal)
    await app.close()
    return 0
  },
}

/** In a clone the scripts bring their own Node; installed, the program is on PATH. */
const [UE, DEMO, VERBOSE] = import.meta.url.endsWith('.ts')
  ? ['npm run -s ue --', 'npm run demo', 'npm start -- -v']
  : ['gba-proxy ue', 'gba-proxy demo', 'gba-proxy lab -v']

function welcome(directory: string, { addresses }: App): string {
  const at = (name: 'ub' | 'zn' | 'ap' | 'as' | 'admin') => `${addresses[name]?.host}:${addresses[name]?.port}`
  const sim = directory === 'lab' ? 'alice' : join(directory, 'sims', 'alice.yaml')
  const url = `https://${LAB_NAF}/resource-lists/users/${impuOf('alice')}/index`
  return `
gba-proxy lab is up.

  AP  (Ut, HTTPS)        ${at('ap')}   as ${LAB_NAF}
  BSF (Ub, HTTP)         ${at('ub')}
  BSF (Zn, mutual TLS)   ${at('zn')}
  AS  (XCAP, behind AP)  ${at('as')}
  Admin (HTTP)           ${at('admin')}   /metrics, /live, /ready, /version

  subscriber  ${impuOf('alice')}, SIM file ${join(directory, 'sims', 'alice.yaml')}; also bob and carol

Try, in another terminal:

  ${UE} --sim ${sim} -v '${url}'
      bootstraps, authenticates, and gets 404: alice has no list yet

  ${UE} --sim ${sim} -i -X PUT -d '<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"/>' '${url}'
      makes one: 201, and no second bootstrap

  ${UE} --sim ${sim} --print-curl '${url}'
      the curl line that does the same

  ${UE} --sim ${sim} --psk '${url}'
      the same by TLS with the bootstrapped key, and no Digest

  ${DEMO}
      the whole flow with a ladder, in a lab of its own

Ctrl-C stops the lab. '${VERBOSE}' shows every decision as it is made.
`
}
