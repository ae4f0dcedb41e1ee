import type { Command } from '../../src/cli/command.ts'
import { type HelpBlock, helpBlocks } from '../../src/cli/help.ts'

/** What no help text says, since each is of one subcommand. */
const SEE_ALSO = `.SH SEE ALSO
.BR curl (1),
.BR systemd.service (5)
.PP
3GPP TS 33.220 (GBA), TS 33.222 (authentication proxy), TS 24.109 (Ub and Ua), TS 24.623 (XCAP on Ut); RFC 4825 (XCAP).
README.md of the package lists every configuration key and every fault code.
`

/** The manual page, from the help of the whole program and that of each subcommand. */
export function manPage(overview: string, commands: readonly Command[], version: string): string {
  return [
    `.\\" made from the help texts: npm run man\n.TH GBA\\-PROXY 1 "" "gba\\-proxy ${version}" "User Commands"\n`,
    `.SH NAME\ngba\\-proxy \\- GBA/Ut authentication proxy in front of an XCAP or presence server\n`,
    `.SH SYNOPSIS\n${synopsisOf(overview)}`,
    `.SH DESCRIPTION\n${blocksOf(overview).map(roffOf).join('')}`,
    `.SH SUBCOMMANDS\n`,
    ...commands.map(({ name, usage, summary }) =>
      [`.SS ${name}: ${roff(summary)}\n`, synopsisOf(usage), ...blocksOf(usage).map(roffOf)].join(''),
    ),
    SEE_ALSO,
  ].join('')
}

const blocksOf = (text: string): HelpBlock[] => helpBlocks(text).filter(({ kind }) => kind !== 'synopsis')

function synopsisOf(text: string): string {
  const lines = helpBlocks(text).flatMap((block) => (block.kind === 'synopsis' ? block.lines : []))
  return lines.map((line) => `.PP\n.B ${roff(line)}\n`).join('')
}

function roffOf(block: HelpBlock): string {
  switch (block.kind) {
    case 'heading':
      return `.PP\n.B ${roff(block.text)}\n`
    case 'entry':
      return `.TP\n.B ${roff(block.term)}\n${roff(block.text)}\n`
    case 'paragraph':
      return `.PP\n${roff(block.text)}\n`
    case 'synopsis':
      return ''
  }
}

/** Text as roff means it: no escapes, no requests, hyphens that can be copied. */
function roff(text: string): string {
  const escaped = text
    .replaceAll('\\', '\\(rs')
    .replaceAll('-', '\\-')
    .replaceAll('"', '\\(dq')
    .replaceAll("'", '\\(aq')
  return escaped.replace(/^\./, '\\&.')
}
