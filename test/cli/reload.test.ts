import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { oneByOne, takeOver, watchFiles } from '../../src/cli/reload.ts'
import { RestartNeeded } from '../../src/config/changes.ts'
import { ConfigError } from '../../src/config/config-error.ts'
import { versionOf } from '../../src/config/file-version.ts'
import { createLog } from '../../src/observe/log.ts'

const directory = mkdtempSync(join(tmpdir(), 'gba-reload-'))
after(() => rmSync(directory, { recursive: true }))
const path = (name: string) => join(directory, name)

async function until(isSo: () => boolean): Promise<void> {
  for (let tries = 0; !isSo(); tries++) {
    assert.ok(tries < 500, 'never')
    await delay(10)
  }
}

describe('files that are watched', () => {
  test('tell of each change once, also of one between the reading and the watching, and of a loss', async () => {
    writeFileSync(path('a'), '1')
    writeFileSync(path('b'), '1')
    const since = versionOf(path('a'))
    writeFileSync(path('a'), '22')
    let told = 0
    const stop = watchFiles(
      () => [path('a'), path('b')],
      () => told++,
      since,
      2,
    )
    await until(() => told === 1)
    writeFileSync(path('b'), '22')
    await until(() => told === 2)
    unlinkSync(path('b'))
    await until(() => told === 3)
    await delay(20)
    assert.equal(told, 3)
    stop()
    writeFileSync(path('a'), '333')
    await delay(20)
    assert.equal(told, 3)
  })
})

describe('what is asked for while something runs', () => {
  test('runs after it, in order, whatever fails', async () => {
    const inTurn = oneByOne()
    const seen: number[] = []
    await Promise.all(
      [3, 2, 1].map((n) =>
        inTurn(async () => {
          await delay(n)
          seen.push(n)
          if (n === 3) throw new Error('of one')
        }),
      ),
    )
    assert.deepEqual(seen, [3, 2, 1])
  })
})

describe('taking over a configuration', () => {
  async function told(take: () => readonly string[]) {
    const lines: string[] = []
    const destination = { write: (line: string) => void lines.push(line) }
    const log = createLog({ level: 'info', identities: 'hashed', destination })
    const isTaken = await takeOver('gba.yaml', log, take)
    const { time: _, ...line } = JSON.parse(lines.join(''))
    return { isTaken, line }
  }
  const fails = (error: Error) => () => {
    throw error
  }

  test('logs the keys that changed, or that none did', async () => {
    const reloaded = { level: 'info', file: 'gba.yaml', keys: ['log.level'], event: 'config.reloaded' }
    assert.deepEqual(await told(() => ['log.level']), { isTaken: true, line: reloaded })
    const unchanged = { level: 'info', file: 'gba.yaml', event: 'config.unchanged' }
    assert.deepEqual(await told(() => []), { isTaken: true, line: unchanged })
  })

  test('logs file, line, key and detail of a mistake', async () => {
    const mistake = new ConfigError({ file: 'as.pem', line: 7, key: 'ap.port' }, 'is odd')
    const line = { level: 'error', file: 'as.pem', line: 7, at: 'ap.port', detail: 'is odd', event: 'config.refused' }
    assert.deepEqual(await told(fails(mistake)), { isTaken: false, line })
  })

  test('logs the keys that need a restart, and no others', async () => {
    const changes = [
      { key: 'ap.port', takes: 'restart' },
      { key: 'log.level', takes: 'live' },
    ] as const
    const { isTaken, line } = await told(fails(new RestartNeeded(changes)))
    assert.equal(isTaken, false)
    assert.deepEqual(line.needRestart, ['ap.port'])
    assert.equal(line.event, 'config.refused')
  })

  test('survives what nobody foresaw', async () => {
    const { isTaken, line } = await told(fails(new TypeError('ours')))
    assert.deepEqual([isTaken, line.event, line.err.type], [false, 'config.refused', 'TypeError'])
  })
})
