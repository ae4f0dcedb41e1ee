import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { availableParallelism } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'

/** A server that was started, on a port of loopback. */
export interface Started {
  readonly port: number
  /** All its processes. */
  pids(): number[]
  /** @param signal  SIGTERM by default; after ten seconds it is killed */
  stop(): Promise<void>
}

/** The server under measurement has a core of its own; load, upstream and this process share the next one. */
export const isPinned = availableParallelism() > 1
const CORES = { server: '0', load: '1' } as const
export type Core = keyof typeof CORES

/** Everything that this process starts from now on, and itself, is on the core of the load. */
export function moveToLoadCore(): void {
  if (isPinned) execFileSync('taskset', ['-a', '-c', '-p', CORES.load, String(process.pid)], { stdio: 'ignore' })
}

/** Starts a server and waits until it takes connections. @throws Error with what it said, when it does not */
export async function startOn(
  core: Core,
  port: number,
  program: string,
  args: readonly string[],
  cwd: string,
): Promise<Started> {
  const command = isPinned ? ['taskset', '-c', CORES[core], program, ...args] : [program, ...args]
  const child = spawn(command[0] ?? program, command.slice(1), { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  const said: Buffer[] = []
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (part: Buffer) => said.push(part))
  const ended = once(child, 'close')
  // A run that is cut off leaves nothing behind.
  const sweep = () => child.kill('SIGTERM')
  process.once('exit', sweep)
  const giveUpAt = Date.now() + 20_000
  while (!(await accepts(port))) {
    if (child.exitCode === null && Date.now() < giveUpAt) {
      await delay(20)
      continue
    }
    child.kill('SIGKILL')
    throw new Error(`${program} does not come up:\n${Buffer.concat(said)}`)
  }
  return {
    port,
    pids: () => withChildren(child.pid ?? 0),
    async stop() {
      process.removeListener('exit', sweep)
      if (hasEnded(child)) return
      child.kill('SIGTERM')
      const insist = setTimeout(() => child.kill('SIGKILL'), 10_000)
      await ended
      clearTimeout(insist)
    },
  }
}

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address()
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const answer = (is: boolean) => () => {
      resolve(is)
      socket.destroy()
    }
    socket.once('connect', answer(true)).once('error', answer(false))
  })
}

/** A process and all below it. */
function withChildren(pid: number): number[] {
  const tasks = readdirSync(`/proc/${pid}/task`)
  const children = tasks.flatMap((id) => readFileSync(`/proc/${pid}/task/${id}/children`, 'utf8').match(/\d+/g) ?? [])
  return [pid, ...children.flatMap((child) => withChildren(Number(child)))]
}

/** CPU seconds that these processes have used, to a hundredth. */
export function cpuS(pids: readonly number[]): number {
  let ticks = 0
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return ticks / 100
}
