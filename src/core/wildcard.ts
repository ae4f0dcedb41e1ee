import type { Impu } from './identity.ts'

/**
 * Whether an identity, where it is provisioned, stands for many: its user part has a pair of exclamation marks.
 * @see 3GPP TS 23.003 clause 13.4A (Rel-18)
 */
export const isWildcarded = (impu: Impu): boolean => WILDCARDED.test(impu)

/**
 * Tells which identities a wildcarded one stands for. Between the outermost exclamation marks of its user part is a
 * POSIX extended regular expression; what is around them is literal, and scheme and host are its own.
 * Reading: of the regular expressions only literals, `.`, character classes and ranges, and `*`, `+`, `?` once behind
 * one of them are taken, since these match in linear time; a wildcarded identity with anything else stands for nobody.
 * Brackets and `^` are percent-encoded, as no user part holds them bare (`sip:room!%5B0-9%5D+!@example.com`); any other
 * escape is one character.
 * Reading: one exclamation mark in a received identity is an ordinary character. An identity with a pair of them could
 * stand for others at a server that knows wildcards, so no wildcarded identity matches it.
 * @param wildcarded  provisioned; `isWildcarded` holds
 * @see 3GPP TS 23.003 clause 13.5 (Rel-18)
 */
export function wildcardMatcher(wildcarded: Impu): (impu: Impu) => boolean {
  const [, scheme, before = '', expression = '', after = '', host] = WILDCARDED.exec(wildcarded) ?? []
  const middle = compile(charactersOf(expression).map((character) => BRACKETS[character] ?? character))
  if (!middle || scheme === undefined || host === undefined) return () => false
  const steps = [...charactersOf(before).map(literal), ...middle, ...charactersOf(after).map(literal)]
  return (impu) => {
    const [, itsScheme, user = '', itsHost] = SIP.exec(impu) ?? []
    return itsScheme === scheme && itsHost === host && !isWildcarded(impu) && matches(steps, charactersOf(user))
  }
}

/** One thing to match: which characters, and whether none or more than one will do. */
interface Step {
  readonly accepts: (character: string) => boolean
  readonly optional: boolean
  readonly repeats: boolean
}

const SIP = /^(sips?):([^@]+)@([^@]+)$/
const WILDCARDED = /^(sips?):([^!@]*)!([^@]*)!([^!@]*)@([^@]+)$/
const BRACKETS: Readonly<Record<string, string>> = { '%5B': '[', '%5D': ']', '%5E': '^' }

/** Means something in an extended regular expression, and is not taken here; an escape is one of its kind. */
const NOT_TAKEN = /^(?:[()$^\]]|%(?:5C|7B|7C|7D))$/
const CLASS_MEMBER = /^[A-Za-z0-9\-_.!~*'()&=+$,;?/]$/
const ALPHANUMERIC = /^[A-Za-z0-9]$/

/** An escape is one character: canonical identities escape only what cannot stand bare. */
const charactersOf = (user: string): string[] => user.match(/%[0-9A-F]{2}|./gs) ?? []

const literal = (expected: string): Step => ({
  accepts: (character) => character === expected,
  optional: false,
  repeats: false,
})

/** @returns undefined for what is empty, malformed or not taken */
function compile(expression: readonly string[]): Step[] | undefined {
  const steps: Step[] = []
  for (let i = 0; i < expression.length; ) {
    const atom = atomAt(expression, i)
    if (!atom) return undefined
    i = atom.end
    const quantifier = expression[i]
    const quantified = quantifier === '*' || quantifier === '+' || quantifier === '?'
    if (quantified) i++
    steps.push({
      accepts: atom.accepts,
      optional: quantified && quantifier !== '+',
      repeats: quantified && quantifier !== '?',
    })
  }
  return steps.length > 0 ? steps : undefined
}

type Atom = Pick<Step, 'accepts'> & { readonly end: number }

function atomAt(expression: readonly string[], at: number): Atom | undefined {
  const character = expression[at]
  if (character === undefined || /^[*+?]$/.test(character) || NOT_TAKEN.test(character)) return undefined
  if (character === '.') return { accepts: () => true, end: at + 1 }
  if (character !== '[') return { accepts: literal(character).accepts, end: at + 1 }
  const negated = expression[at + 1] === '^'
  const start = negated ? at + 2 : at + 1
  const end = expression.indexOf(']', start)
  const ranges = end < 0 ? undefined : rangesOf(expression.slice(start, end))
  if (!ranges) return undefined
  const listed = (its: string) => ranges.some(([low, high]) => its.length === 1 && low <= its && its <= high)
  return { accepts: (its) => listed(its) !== negated, end: end + 1 }
}

/** Both ends of a range are letters or digits; a hyphen at either end of the class is itself. */
function rangesOf(members: readonly string[]): (readonly [string, string])[] | undefined {
  const ranges: (readonly [string, string])[] = []
  for (let i = 0; i < members.length; ) {
    const [low = '', hyphen, high] = members.slice(i, i + 3)
    if (!CLASS_MEMBER.test(low)) return undefined
    const isRange = low !== '-' && hyphen === '-' && high !== undefined
    if (isRange && !(ALPHANUMERIC.test(low) && ALPHANUMERIC.test(high) && low <= high)) return undefined
    ranges.push([low, isRange ? high : low])
    i += isRange ? 3 : 1
  }
  return ranges.length > 0 ? ranges : undefined
}

/** All ways at once, so that time is bounded by steps times characters whatever both are. */
function matches(steps: readonly Step[], characters: readonly string[]): boolean {
  let at = withOptional(steps, new Set([0]))
  for (const character of characters) {
    const next = new Set<number>()
    for (const i of at) {
      const step = steps[i]
      if (!step?.accepts(character)) continue
      next.add(i + 1)
      if (step.repeats) next.add(i)
    }
    if (next.size === 0) return false
    at = withOptional(steps, next)
  }
  return at.has(steps.length)
}

function withOptional(steps: readonly Step[], at: Set<number>): Set<number> {
  for (const i of at) if (steps[i]?.optional) at.add(i + 1)
  return at
}
