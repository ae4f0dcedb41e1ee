import { configTable, TABLE_BEGIN, TABLE_END } from '../../src/config/table.ts'
import { TOLERANCE_NAMES, TOLERANCES } from '../../src/core/tolerances.ts'
import { FAULT_TABLE_BEGIN, FAULT_TABLE_END, faultTable } from '../../src/observe/fault-texts.ts'
import { METRIC_TABLE_BEGIN, METRIC_TABLE_END, metricTable } from '../../src/observe/metric-definitions.ts'
import { numbersText } from '../bench/proxies/numbers.ts'
import { matrixTable } from './matrix.ts'

/** What of README is generated: the markers, and what stands between them. */
export const GENERATED: readonly { readonly begin: string; readonly end: string; content(): string }[] = [
  { begin: TABLE_BEGIN, end: TABLE_END, content: configTable },
  { begin: FAULT_TABLE_BEGIN, end: FAULT_TABLE_END, content: faultTable },
  { begin: '<!-- tolerances:begin -->', end: '<!-- tolerances:end -->', content: toleranceTable },
  { begin: METRIC_TABLE_BEGIN, end: METRIC_TABLE_END, content: metricTable },
  { begin: '<!-- matrix:begin -->', end: '<!-- matrix:end -->', content: matrixTable },
  { begin: '<!-- numbers:begin -->', end: '<!-- numbers:end -->', content: numbersText },
]

/** The text with what stands between two markers replaced. @throws when the markers are not there, once each */
export function between(text: string, begin: string, end: string, content: string): string {
  const [head, rest, ...more] = text.split(begin)
  const [, tail, ...others] = rest?.split(end) ?? []
  if (head === undefined || tail === undefined || more.length > 0 || others.length > 0) {
    throw new Error(`one ${begin} and one ${end} belong in the text`)
  }
  return `${head}${begin}\n${content}\n${end}${tail}`
}

function toleranceTable(): string {
  const rows = TOLERANCE_NAMES.map((name) => `| \`${name}\` | ${TOLERANCES[name].what} | ${TOLERANCES[name].who} |`)
  return ['| tolerance | what is accepted | who needs it |', '|---|---|---|', ...rows].join('\n')
}
