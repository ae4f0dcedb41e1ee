import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePorts } from '../../src/lab.ts'
import { run, start } from './programs.ts'

/** What `peerTest` has to look for. */
export const KAMAILIO_PROGRAMS = ['kamailio', 'sqlite3'] as const

const CONFIG = fileURLToPath(new URL('../../deploy/kamailio-xcap.cfg', import.meta.url))
const TABLES = ['standard', 'presence'].map((name) => `/usr/share/kamailio/db_sqlite/${name}-create.sql`)

export interface Kamailio {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  readonly log: () => string
  close(): Promise<void>
}

/** Kamailio with deploy/kamailio-xcap.cfg, an empty database of its own and a free port of loopback. */
export async function kamailio(): Promise<Kamailio> {
  const directory = await mkdtemp(join(tmpdir(), 'gba-proxy-kamailio-'))
  const database = join(directory, 'xcap.sqlite')
  const tables = await Promise.all(TABLES.map((file) => readFile(file)))
  const made = await run('sqlite3', ['-bail', database], { stdin: Buffer.concat(tables) })
  if (made.status !== 0) throw new Error(`sqlite3: ${made.stderr}`)
  const { as: port } = await freePorts()
  const url = `http://127.0.0.1:${port}`
  const memory = ['-m', '64', '-M', '8']
  const places = ['-w', directory, '-Y', directory, '-P', join(directory, 'kamailio.pid')]
  const defines = ['-A', `DBURL="sqlite:///${database}"`, '-A', `PORT=${port}`]
  const server = await start('kamailio', ['-f', CONFIG, '-DD', '-E', ...memory, ...places, ...defines], () =>
    fetch(`${url}/xcap-root/`).then(
      ({ status }) => status === 401,
      () => false,
    ),
  ).catch(async (error: unknown) => {
    await rm(directory, { recursive: true, force: true })
    throw error
  })
  return {
    url,
    log: server.stderr,
    async close() {
      await server.stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
