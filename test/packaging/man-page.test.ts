import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { loadCommands, overview } from '../../src/cli/index.ts'
import { manPage } from '../support/man-page.ts'
import { peerTest } from '../support/peer.ts'
import { run } from '../support/programs.ts'

const FILE = new URL('../../deploy/gba-proxy.1', import.meta.url)
const { version, man } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
const commands = await loadCommands()

describe('the manual page', () => {
  test('is what the help texts make: npm run man', () => {
    assert.equal(readFileSync(FILE, 'utf8'), manPage(overview(commands), commands, version))
    assert.equal(man, 'deploy/gba-proxy.1')
  })

  peerTest('is one that man shows without a warning, with every subcommand', ['man'], async () => {
    const env = { ...process.env, LC_ALL: 'C.UTF-8', MANWIDTH: '120', MAN_KEEP_FORMATTING: '', PAGER: 'cat' }
    const { status, stdout, stderr } = await run('man', ['--warnings', '--local-file', FILE.pathname], { env })
    assert.deepEqual([status, stderr], [0, ''])
    for (const { name, summary } of commands) assert.ok(stdout.includes(`${name}: ${summary}`), name)
  })
})
