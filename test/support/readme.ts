/** The text with what stands between two markers replaced. @throws when the markers are not there, once each */
export function between(text: string, begin: string, end: string, content: string): string {
  const [head, rest, ...more] = text.split(begin)
  const [, tail, ...others] = rest?.split(end) ?? []
  if (head === undefined || tail === undefined || more.length > 0 || others.length > 0) {
    throw new Error(`one ${begin} and one ${end} belong in the text`)
  }
  return `${head}${begin}\n${content}\n${end}${tail}`
}
