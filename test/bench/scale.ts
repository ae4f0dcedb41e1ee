import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { measureAll } from './scale/measure.ts'
import { reportOf } from './scale/report.ts'

// From one host to fifty million subscribers: measures what a request, a bootstrap and a record cost on this machine,
// and computes from that what so many subscribers need.
//
//   node test/bench/scale.ts [--subscribers 1,5,10,20,50] [--seed N] [--quick]
//
// --subscribers in millions; --quick spends a tenth of the time on figures that nobody should write down. Needs
// redis-server and openssl. How subscribers behave stands in scale/model.ts, what is measured in scale/measure.ts.

const { values } = parseArgs({
  options: {
    subscribers: { type: 'string', default: '1,5,10,20,50' },
    seed: { type: 'string', default: '1' },
    quick: { type: 'boolean', default: false },
  },
})
const subscribers = values.subscribers.split(',').map(Number)
if (!subscribers.every((million) => million > 0 && million <= 1000)) {
  console.error('--subscribers takes millions with commas between them')
  process.exit(2)
}
const measured = await measureAll({ quick: values.quick, tell: (what) => console.error(`measuring ${what}`) })
console.log(`${availableParallelism()} cores, Node.js ${process.version}, seed ${values.seed}\n`)
console.log(reportOf(measured, { subscribers, seed: Number(values.seed) }))
process.exit()
