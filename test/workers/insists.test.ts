import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type SupervisorOptions, supervise } from '../../src/cli/supervisor.ts'
import { createLog } from '../../src/observe/log.ts'

/** A supervisor whose workers never end by themselves. */
async function withDeafWorkers(t: TestContext, options: Pick<SupervisorOptions, 'onUp' | 'signal'>) {
  const children = new Set<ChildProcess>()
  t.after(() => {
    for (const child of children) child.kill('SIGKILL')
  })
  const lines: string[] = []
  const write = (line: string) => void lines.push(line)
  const exit = await supervise({
    ...options,
    count: 2,
    yamlText: '',
    worker: { module: join(import.meta.dirname, 'deaf-worker.ts'), args: [] },
    log: createLog({ level: 'error', identities: 'hashed', destination: { write } }),
    reports: { add() {}, remove() {} },
    calls: { add: (_number, child) => void children.add(child) },
    demands: () => [],
    followed: () => [],
    since: '',
    reread: async () => undefined,
    onTaken() {},
    insistMs: 100,
  })
  const killed = lines.map((line) => JSON.parse(line)).filter(({ event }) => event === 'worker.killed')
  return { exit, children: [...children], killed: killed.map(({ pid }) => pid) }
}

test('workers that hang when all are asked to stop are killed, and the exit code is 0', {
  timeout: 20_000,
}, async (t) => {
  const asked = new AbortController()
  const onUp = () => asked.abort()
  const { exit, children, killed } = await withDeafWorkers(t, { signal: asked.signal, onUp })
  assert.equal(exit, 0)
  assert.deepEqual(
    children.map(({ signalCode }) => signalCode),
    ['SIGKILL', 'SIGKILL'],
  )
  for (const { pid } of children) assert.ok(killed.includes(pid))
})
