/** One part of a help text. */
export type HelpBlock =
  | { readonly kind: 'synopsis'; readonly lines: readonly string[] }
  | { readonly kind: 'heading'; readonly text: string }
  | { readonly kind: 'paragraph'; readonly text: string }
  /** `  -c, --config FILE   what it is`, or what else has a name and a meaning. */
  | { readonly kind: 'entry'; readonly term: string; readonly text: string }

/**
 * What a help text says, for whoever shows it in another form. Unindented lines are paragraphs, or a heading where one
 * ends in a colon; indented ones are entries: a term, two blanks, its text; further lines of that stand deeper.
 */
export function helpBlocks(usage: string): HelpBlock[] {
  const blocks: HelpBlock[] = []
  let open: string[] = []
  const close = () => {
    if (open.length > 0) blocks.push(unindented(open))
    open = []
  }
  for (const line of usage.split('\n')) {
    const indent = line.search(/\S/)
    const inSynopsis = open[0]?.startsWith(SYNOPSIS)
    if (indent !== 0 && !inSynopsis) close()
    const last = blocks.at(-1)
    if (indent < 0) close()
    else if (indent === 0 || inSynopsis) open.push(line)
    else if (indent === TERM || line[indent] === '-') blocks.push(entryOf(line.trim()))
    else if (last?.kind === 'entry') blocks.splice(-1, 1, { ...last, text: `${last.text} ${line.trim()}`.trim() })
  }
  close()
  return blocks
}

/** What the help says of an option, up to its first semicolon or bracket; undefined where it has no entry. */
export function optionText(blocks: readonly HelpBlock[], name: string): string | undefined {
  const flag = new RegExp(`(?:^|[ ,])--${name}(?:[ ,]|$)`)
  const found = blocks.find((block) => block.kind === 'entry' && flag.test(block.term))
  return found?.kind === 'entry' ? (found.text.split(/[;(]/)[0] ?? '').trim() : undefined
}

/** Where the terms of entries stand that are no options. */
const TERM = 2

function entryOf(line: string): HelpBlock {
  const gap = line.search(/ {2,}/)
  return gap < 0
    ? { kind: 'entry', term: line, text: '' }
    : { kind: 'entry', term: line.slice(0, gap), text: line.slice(gap).trim() }
}

function unindented(lines: readonly string[]): HelpBlock {
  const [first = ''] = lines
  if (first.startsWith(SYNOPSIS)) {
    return { kind: 'synopsis', lines: lines.map((line) => line.replace(SYNOPSIS, '').trim()) }
  }
  const text = lines.map((line) => line.trim()).join(' ')
  return lines.length === 1 && text.endsWith(':')
    ? { kind: 'heading', text: text.slice(0, -1) }
    : { kind: 'paragraph', text }
}

const SYNOPSIS = 'usage: '
