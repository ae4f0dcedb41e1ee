import { execFileSync } from 'node:child_process'
import { cpus } from 'node:os'

/** When and on what something was measured. */
export const captionNow = (): string => `${new Date().toISOString().slice(0, 10)}, ${machine()}`

function machine(): string {
  const version = (program: string) => {
    const said = execFileSync(program, ['-v'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
    return /\d+\.\d+\.\d+/.exec(said)?.[0] ?? ''
  }
  const [first, ...more] = cpus()
  const cores = `${more.length + 1} x ${first?.model ?? 'unknown CPU'}`
  return `${cores}, Node.js ${process.versions.node}, Apache ${version('apache2')}`
}
