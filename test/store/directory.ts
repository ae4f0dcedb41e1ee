import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import type { LmdbDatabase, LmdbFile } from '../../src/store/lmdb-file.ts'
import type { AtRest } from '../contract/adapter.ts'

const made: string[] = []
after(() => {
  for (const directory of made) rmSync(directory, { recursive: true, force: true })
})

/** A directory of its own, gone when the test file ends. */
export function aDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'store-'))
  made.push(directory)
  return directory
}

/** What lies in the engine's files of a directory. */
export const octetsIn = (directory: string): Uint8Array =>
  Buffer.concat(
    readdirSync(directory)
      .filter((name) => name.endsWith('.mdb'))
      .map((name) => readFileSync(join(directory, name))),
  )

export function atRest(directory: string, file: LmdbFile, database: LmdbDatabase): AtRest {
  const entries = () =>
    [...database.getRange({ start: new Uint8Array(1) })].map(({ key, value }) => [key, value] as const)
  return {
    octets: async () => octetsIn(directory),
    async tamper(change) {
      file.write(() => {
        for (const [key, value] of entries()) database.putSync(key, Uint8Array.from(change(value)))
      })
    },
    async swap() {
      file.write(() => {
        const [first, second] = entries()
        if (first === undefined || second === undefined) throw new Error('fewer than two records')
        database.putSync(first[0], second[1])
        database.putSync(second[0], first[1])
      })
    },
  }
}
