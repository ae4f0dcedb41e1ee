import { type AddressInfo, connect, createServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** A TCP relay that passes on what comes, each part late. */
export async function lateRelay(to: number, lateMs: number): Promise<{ readonly port: number; close(): void }> {
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1')
    near.on('error', () => far.destroy()).once('close', () => far.destroy())
    far.on('error', () => near.destroy()).once('close', () => near.destroy())
    near.on('data', (part) => void delay(lateMs).then(() => far.writable && far.write(part)))
    far.pipe(near)
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  return { port: (server.address() as AddressInfo).port, close: () => void server.close() }
}
