import { cp, mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Ran, type RunOptions, run } from './programs.ts'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '')

/**
 * What takes a registry, minutes and some hundred megabytes is done where the gate asks for it. Elsewhere a cheaper way
 * is taken or, where there is none, the test is skipped and says so.
 */
export const isThorough = process.env.GBA_PACKAGING === 'required'

/** Of a clone; nothing that is made in one. */
const LEFT_OUT = new Set(['node_modules', 'dist', '.git', 'lab', 'state', 'keys'])

/** A folder for this test, away from every node_modules above it. */
export const emptyFolder = (what: string): Promise<string> => mkdtemp(join(tmpdir(), `gba-proxy-${what}-`))

export const removed = (folder: string): Promise<void> => rm(folder, { recursive: true, force: true })

/** The sources as a fresh clone has them, so that a build leaves nothing here. */
export async function copyOfSources(to: string): Promise<void> {
  await mkdir(to, { recursive: true })
  for (const name of await readdir(ROOT)) {
    if (LEFT_OUT.has(name)) continue
    await cp(join(ROOT, name), join(to, name), { recursive: true, filter: (path) => !/\.(?:key|tgz|log)$/.test(path) })
  }
}

/** With the Node of this test before any other. */
export const withOurNode: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: `${dirname(process.execPath)}:${process.env.PATH ?? ''}`,
}

/** npm's own settings of a run from an npm script would say where to install. */
const npmEnv = Object.fromEntries(Object.entries(withOurNode).filter(([name]) => !/^npm_/i.test(name)))

export const npm = (args: readonly string[], cwd: string, options: RunOptions = {}): Promise<Ran> =>
  run('npm', [...args, '--no-audit', '--no-fund', '--no-update-notifier'], {
    cwd,
    env: npmEnv,
    timeoutMs: 100_000,
    ...options,
  })

export interface Packed {
  readonly tarball: string
  readonly files: readonly { readonly path: string; readonly mode: number }[]
}

/** `npm pack` on a copy of the sources, with the packages of this clone for the build. */
export async function pack(folder: string): Promise<Packed> {
  const sources = join(folder, 'sources')
  await copyOfSources(sources)
  await symlink(join(ROOT, 'node_modules'), join(sources, 'node_modules'))
  const { status, stdout, stderr } = await npm(['pack', '--json', '--pack-destination', folder], sources)
  if (status !== 0) throw new Error(`npm pack: ${stderr}`)
  const said: unknown = JSON.parse(stdout)
  const [only] = (Array.isArray(said) ? said : Object.values(said as object)) as [
    { filename: string; files: Packed['files'] },
  ]
  return { tarball: join(folder, only.filename), files: only.files }
}

/**
 * The tarball in an empty folder: by npm and the registry where the gate asks for it, else unpacked by hand over the
 * packages of this clone, which needs nobody.
 * @returns where the program is
 */
export async function install(tarball: string, folder: string): Promise<string> {
  await mkdir(join(folder, 'node_modules', '.bin'), { recursive: true })
  if (isThorough) {
    const { status, stderr } = await npm(['install', '--prefer-offline', '--prefix', folder, tarball], folder)
    if (status !== 0) throw new Error(`npm install: ${stderr}`)
  } else {
    const own = join(folder, 'node_modules', 'gba-proxy')
    await mkdir(own)
    const { status, stderr } = await run('tar', ['xzf', tarball, '--strip-components=1', '-C', own])
    if (status !== 0) throw new Error(`tar: ${stderr}`)
    for (const name of await readdir(join(ROOT, 'node_modules'))) {
      if (name.startsWith('.')) continue
      await symlink(join(ROOT, 'node_modules', name), join(folder, 'node_modules', name))
    }
    await symlink('../gba-proxy/dist/main.js', join(folder, 'node_modules', '.bin', 'gba-proxy'))
    await run('chmod', ['+x', join(own, 'dist', 'main.js')])
  }
  return join(folder, 'node_modules', '.bin', 'gba-proxy')
}
