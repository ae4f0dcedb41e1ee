import { setTimeout as delay } from 'node:timers/promises'

/** The inspector of another Node process: the only one who can tell it to collect its garbage. */
export interface Inspected {
  /** @returns megabytes of its heap that are in use after that */
  collectGarbage(): Promise<number>
  close(): void
}

/** What a process has to be started with, in NODE_OPTIONS: any port but the one that everybody's inspector wants. */
export const INSPECTABLE = '--inspect-port=127.0.0.1:0'

/**
 * Opens the inspector of a process that runs, and connects to it.
 * @param stderr  where it says where that is
 */
export async function inspect(pid: number, stderr: () => string): Promise<Inspected> {
  process.kill(pid, 'SIGUSR1')
  const giveUpAt = Date.now() + 10_000
  let url: string | undefined
  while (url === undefined) {
    if (Date.now() > giveUpAt) throw new Error(`no inspector: ${stderr()}`)
    await delay(50)
    url = /Debugger listening on (ws:\S+)/.exec(stderr())?.[1]
  }
  const socket = new WebSocket(url)
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve, { once: true })
    socket.addEventListener('error', reject, { once: true })
  })
  let id = 0
  const waiting = new Map<number, (result: unknown) => void>()
  socket.addEventListener('message', ({ data }) => {
    const { id: of, result } = JSON.parse(String(data))
    waiting.get(of)?.(result)
    waiting.delete(of)
  })
  const ask = (method: string, params: object = {}) =>
    new Promise<unknown>((resolve) => {
      waiting.set(++id, resolve)
      socket.send(JSON.stringify({ id, method, params }))
    })
  return {
    async collectGarbage() {
      // What the first finds dead may have kept other things alive.
      for (let times = 0; times < 2; times++) await ask('HeapProfiler.collectGarbage')
      const usage = (await ask('Runtime.getHeapUsage')) as { readonly usedSize: number }
      return usage.usedSize / 1024 / 1024
    },
    close: () => socket.close(),
  }
}
