import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { canMount, runOnTmpfs } from '../support/tmpfs.ts'

// Two workers on a tmpfs that becomes full, again and again: `node test/bench/full-tmpfs.ts [runs]`.

if (!canMount()) throw new Error('no mount namespaces here')
const runs = Number(process.argv[2] ?? 20)
const script = join(import.meta.dirname, '../workers/full-tmpfs.ts')
let good = 0
for (let n = 1; n <= runs; n++) {
  const directory = mkdtempSync(join(tmpdir(), 'gba-proxy-full-'))
  const { status, stderr } = await runOnTmpfs(directory, 64, script, 120_000)
  if (status === 0) good++
  else process.stderr.write(`run ${n}: ${status}\n${stderr}\n`)
  rmSync(directory, { recursive: true, force: true })
}
process.stdout.write(`${good} of ${runs}\n`)
