import { fuzz } from '../http/request-head-fuzz.ts'

// What the strict reader of request heads accepts, read by Node's own server: `node test/bench/fuzz-front.ts [seconds]
// [first seed]`. Exits with 1 after a difference; each is told with the seed of its case.

const seconds = Number(process.argv[2] ?? 60)
const firstSeed = Number(process.argv[3] ?? Date.now() % 2 ** 31)
const until = performance.now() + seconds * 1000
const { differences, ...figures } = await fuzz(firstSeed, () => performance.now() >= until)
for (const difference of differences) console.error(difference)
console.log(JSON.stringify({ firstSeed, seconds, ...figures, differences: differences.length }))
process.exitCode = differences.length > 0 ? 1 : 0
