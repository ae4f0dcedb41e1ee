import { readFileSync, writeFileSync } from 'node:fs'
import { loadCommands, overview } from '../../src/cli/index.ts'
import { manPage } from './man-page.ts'

// `npm run man`: makes the manual page anew; a test says when that is due.
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
const commands = await loadCommands()
writeFileSync(new URL('../../deploy/gba-proxy.1', import.meta.url), manPage(overview(commands), commands, version))
