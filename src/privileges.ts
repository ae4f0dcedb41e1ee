import { chownSync, mkdirSync } from 'node:fs'
import { ConfigError } from './config/config-error.ts'
import type { Config } from './config/schema.ts'

/** What a process that root started may still do as root, until it gives that up. */
export interface Privileges {
  /** Runs as root what only root may do: to take ports below 1024. */
  asRoot<Result>(act: () => Promise<Result>): Promise<Result>
  /** For good: whatever runs in this process later, root it cannot be. */
  drop(): void
}

/** The part of `process` that says who it is. */
export interface Identity
  extends Required<
    Pick<NodeJS.Process, 'getuid' | 'geteuid' | 'getegid' | 'setuid' | 'setgid' | 'seteuid' | 'setegid' | 'setgroups'>
  > {
  /** Node has it, its types do not. */
  initgroups(user: string | number, extraGroup: string | number): void
}

/**
 * Makes a process of root's that of another user, with the ports still to be taken. Files are read and made as that
 * user from now on: what it could not read again at a reload fails at the start. A folder of the store that is not there
 * yet is made for it.
 * @param file of the configuration, for errors
 * @returns undefined where there is nothing to give up: no user is configured, or root did not start this process
 * @throws ConfigError naming the user or group that cannot be had
 */
export function lendRoot(
  { process: account, store }: Pick<Config, 'process' | 'store'>,
  file: string,
  identity: Identity = process as unknown as Identity,
): Privileges | undefined {
  if (account.user === '' || identity.getuid() !== ROOT) return undefined
  const user = nameOrId(account.user)
  const group = nameOrId(account.group === '' ? account.user : account.group)
  const gid = became(file, 'group', group, () => {
    identity.setegid(group)
    return identity.getegid()
  })
  const uid = became(file, 'user', user, () => {
    // The groups of root go first; a number may have no entry from which others could be taken.
    if (typeof user === 'number') identity.setgroups([gid])
    else identity.initgroups(user, gid)
    identity.seteuid(user)
    return identity.geteuid()
  })
  if (uid === ROOT) throw new ConfigError({ file, key: 'process.user' }, `${account.user} is root`)
  if (store.kind === 'lmdb') {
    identity.seteuid(ROOT)
    if (mkdirSync(store.directory, { recursive: true }) !== undefined) chownSync(store.directory, uid, gid)
    identity.seteuid(uid)
  }
  return {
    async asRoot(act) {
      identity.seteuid(ROOT)
      try {
        return await act()
      } finally {
        identity.seteuid(uid)
      }
    },
    drop() {
      identity.seteuid(ROOT)
      identity.setgid(gid)
      identity.setuid(uid)
      if (canBeRoot(identity)) throw new TypeError('privileges that were dropped are still there')
    },
  }
}

const ROOT = 0

const nameOrId = (text: string): string | number => (/^\d{1,10}$/.test(text) ? Number(text) : text)

function became(file: string, key: 'user' | 'group', who: string | number, become: () => number): number {
  try {
    return become()
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
    const detail = code === 'ERR_UNKNOWN_CREDENTIAL' ? `there is no ${key} ${who}` : `cannot become ${who} (${code})`
    throw new ConfigError({ file, key: `process.${key}` }, detail, { cause })
  }
}

function canBeRoot(identity: Identity): boolean {
  try {
    identity.seteuid(ROOT)
    return true
  } catch {
    return identity.getuid() === ROOT || identity.geteuid() === ROOT
  }
}
