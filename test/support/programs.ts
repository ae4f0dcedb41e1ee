import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'

export interface RunOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  readonly stdin?: string | Uint8Array
  /** It is killed then, and `status` is null. */
  readonly timeoutMs?: number
}

export interface Ran {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

const PATIENCE_MS = 20_000

/** Runs a program to its end, while the servers of this process go on serving it. */
export async function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { cwd, env, stdin = '', timeoutMs = PATIENCE_MS } = options
  const child = spawn(program, args, { cwd, env, timeout: timeoutMs, killSignal: 'SIGKILL' })
  const output = collect(child)
  child.stdin.on('error', () => {}) // it may end before it has read everything
  child.stdin.end(stdin)
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, stdout: output.stdout(), stderr: output.stderr() }
}

/** A program that stays: a server. */
export interface Running {
  readonly pid: number
  readonly stdout: () => string
  readonly stderr: () => string
  /** Asks it to end; after a while insists, with all that it started. @returns its exit code, null when a signal ended it */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

/**
 * Starts a server and waits until it is ready.
 * @param isReady  asked again and again
 * @throws Error with its output, when it ends before or takes too long
 */
export async function start(
  program: string,
  args: readonly string[],
  isReady: (server: Pick<Running, 'stdout' | 'stderr'>) => boolean | Promise<boolean>,
  { cwd, env, timeoutMs = PATIENCE_MS }: Omit<RunOptions, 'stdin'> = {},
): Promise<Running> {
  // a process group of its own, so that its children can be ended with it
  const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const output = collect(child)
  let failed: unknown
  child.once('error', (error) => {
    failed = error
  })
  const ended = new Promise<number | null>((resolve) => {
    child.once('close', resolve)
  })
  const hasEnded = () => failed !== undefined || child.exitCode !== null || child.signalCode !== null
  // a test run that is cut off leaves nothing behind
  const sweep = () => killGroup(child)
  process.once('exit', sweep)
  const running: Running = {
    ...output,
    pid: child.pid ?? 0,
    async stop(signal = 'SIGTERM') {
      child.kill(signal)
      const insist = setTimeout(() => killGroup(child), PATIENCE_MS)
      const status = await ended
      clearTimeout(insist)
      process.removeListener('exit', sweep)
      return status
    },
  }
  const giveUpAt = Date.now() + timeoutMs
  while (!hasEnded() && !(await isReady(output))) {
    if (Date.now() > giveUpAt) {
      killGroup(child)
      throw new Error(`${program} was not ready in time:\n${output.stdout()}${output.stderr()}`)
    }
    await delay(20)
  }
  if (hasEnded()) throw new Error(`${program} ended at once: ${failed ?? ''}\n${output.stdout()}${output.stderr()}`)
  return running
}

function collect(child: ChildProcess): Pick<Running, 'stdout' | 'stderr'> {
  const out: Buffer[] = []
  const err: Buffer[] = []
  child.stdout?.on('data', (chunk: Buffer) => out.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => err.push(chunk))
  return { stdout: () => Buffer.concat(out).toString(), stderr: () => Buffer.concat(err).toString() }
}

function killGroup({ pid }: ChildProcess): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // all gone already
  }
}
