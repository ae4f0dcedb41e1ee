import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startApp } from '../app.ts'
import { freePorts, LAB_NAF, labConfig, prepareLab, writeSims } from '../lab.ts'
import { createLog } from '../observe/log.ts'
import { createUe } from '../ue/flow.ts'
import { loadSim } from '../ue/sim.ts'
import type { Command } from './command.ts'
import { Ladder } from './demo/ladder.ts'
import { demoSteps } from './demo/steps.ts'
import { parseOptions } from './options.ts'

export const command: Command = {
  name: 'demo',
  summary: 'run the whole flow against a lab of its own and print the ladder',
  usage: `usage: gba-proxy demo

Starts a lab on free ports of loopback, lets the UE emulator bootstrap, authenticate and manage its documents, and
prints every message between UE, AP, BSF, HSS and AS with what it proved.

Exit code: 0 every step came out as it should, 1 one did not.

Files: none is left; the lab is made in the folder for temporary files.

Environment:
  TMPDIR   that folder (default: /tmp)

Examples:
  gba-proxy demo | less
      the ladder, page by page
`,
  options: {},
  async run(args, { stdout }) {
    parseOptions(args, {})
    const directory = await mkdtemp(join(tmpdir(), 'gba-proxy-demo-'))
    const ladder = new Ladder((line) => stdout.write(`${line}\n`))
    try {
      await prepareLab(directory, { randomBytes, now: Date.now() })
      const config = labConfig(directory, await freePorts(), { store: { kind: 'memory' } })
      const log = createLog({ level: 'silent', identities: 'clear' })
      const app = await startApp(config, { log, onDecision: (event, record) => ladder.decided(event, record) })
      try {
        writeSims(directory, { ub: app.addresses.ub?.port ?? 0, ap: app.addresses.ap?.port ?? 0 })
        const sim = await loadSim(join(directory, 'sims', 'alice.yaml'))
        const ca = await readFile(join(directory, 'certs', 'ca.pem'))
        const ue = createUe(sim, { ca, observer: (exchange) => ladder.exchanged(exchange) })
        const outcome = await demoSteps({
          ue,
          sim,
          naf: LAB_NAF,
          ca,
          ladder,
          avsDrawn: () => app.audit.count('zh.av-drawn'),
        })
        ue.close()
        return outcome ? 0 : 1
      } finally {
        await app.close()
      }
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  },
}
