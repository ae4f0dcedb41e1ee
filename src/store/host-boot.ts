import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** Linux's name for the time since it started; containers share their host's, as they share its page cache. */
export function bootIdOfHost(): string | undefined {
  try {
    return /^[0-9a-f-]{36}$/.exec(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim())?.[0]
  } catch {
    return undefined
  }
}

/** Removes the files `STEM.mdb` and `STEM-BOOT.mdb`, with their locks, but for the one called `name`. */
export function removeOtherBoots(directory: string, stem: string, name: string): void {
  for (const other of readdirSync(directory)) {
    const [, its] = /^([a-z]+)(?:-.*)?\.mdb(?:-lock)?$/.exec(other) ?? []
    if (its === stem && other !== name && other !== `${name}-lock`) rmSync(join(directory, other), { force: true })
  }
}
