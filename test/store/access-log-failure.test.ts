import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { aDirectory } from './directory.ts'

test('a file of access logs that is dead is told of, with what to do, and the rest of the store goes on', () => {
  // Files may grow to 32 MiB; to write beyond that is an error, as on a disk that fails.
  const script = `trap '' XFSZ; ulimit -f 32768; exec "$0" "$1" "$2"`
  const child = join(import.meta.dirname, 'dead-access-file.ts')
  const argv = ['-c', script, process.execPath, child, aDirectory()]
  const { status, stdout, stderr } = spawnSync('bash', argv, { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
  assert.equal(stdout.trim(), 'ok')
})
