import { readFileSync, writeFileSync } from 'node:fs'
import { updateReadme } from '../../src/config/table.ts'
import { FAULT_TABLE_BEGIN, FAULT_TABLE_END, faultTable } from '../../src/observe/fault-texts.ts'
import { between } from './readme.ts'

// `npm run readme`: puts what is generated into README.md; the tests say when that is due.
const readme = new URL('../../README.md', import.meta.url)
const text = updateReadme(readFileSync(readme, 'utf8'))
writeFileSync(readme, between(text, FAULT_TABLE_BEGIN, FAULT_TABLE_END, faultTable()))
