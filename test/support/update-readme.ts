import { readFileSync, writeFileSync } from 'node:fs'
import { numbersPlot, plotFile } from '../bench/proxies/numbers.ts'
import { between, GENERATED } from './readme.ts'

// `npm run readme`: puts what is generated into README.md, and draws its plot; the tests say when that is due.
const readme = new URL('../../README.md', import.meta.url)
const text = readFileSync(readme, 'utf8')
writeFileSync(
  readme,
  GENERATED.reduce((sum, { begin, end, content }) => between(sum, begin, end, content()), text),
)
writeFileSync(plotFile, numbersPlot())
