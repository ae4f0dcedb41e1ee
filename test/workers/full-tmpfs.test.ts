import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { aDirectory } from '../store/directory.ts'
import { canMount, runOnTmpfs } from '../support/tmpfs.ts'

test('workers on a full tmpfs live, serve who has a key, answer 503 on Ub without a vector, and go on with room', async (t) => {
  if (!canMount()) return t.skip('no mount namespaces here')
  const script = join(import.meta.dirname, 'full-tmpfs.ts')
  const { status, stdout, stderr } = await runOnTmpfs(aDirectory(), 64, script, 50_000)
  assert.equal(status, 0, stderr)
  assert.equal(stdout, 'ok\n')
})
