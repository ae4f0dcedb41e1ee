import { readFileSync, writeFileSync } from 'node:fs'
import { updateReadme } from '../../src/config/table.ts'

// `npm run readme`: puts what is generated into README.md; the tests say when that is due.
const readme = new URL('../../README.md', import.meta.url)
writeFileSync(readme, updateReadme(readFileSync(readme, 'utf8')))
