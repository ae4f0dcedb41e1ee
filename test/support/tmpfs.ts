import { spawnSync } from 'node:child_process'
import { run } from './programs.ts'

const asRoot = ['--mount', ...(process.getuid?.() === 0 ? [] : ['--map-root-user'])]

/** Whether this machine lets us mount, in a namespace of our own. */
export const canMount = (): boolean => spawnSync('unshare', [...asRoot, 'true']).status === 0

/** Runs a script of ours with a tmpfs of so many megabytes on `directory`, which nobody else sees; its argument is that. */
export function runOnTmpfs(directory: string, megabytes: number, script: string, timeoutMs: number) {
  const mount = `mount -t tmpfs -o size=${megabytes}m none "$1" && exec "$2" "$3" "$1"`
  const argv = [...asRoot, 'sh', '-c', mount, 'sh', directory, process.execPath, script]
  return run('unshare', argv, { timeoutMs, env: process.env })
}
