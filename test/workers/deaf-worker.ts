import type { Order, Said } from '../../src/cli/worker.ts'

// Says that it is up, and hears neither orders nor signals from then on; it ends when nobody is there to give any.
process.on('SIGTERM', () => {})
process.on('message', (order: Order) => {
  if (order.do === 'start') process.send?.({ is: 'up', addresses: {} } satisfies Said)
})
process.on('disconnect', () => process.exit())
setInterval(() => {}, 60_000)
