import type { DigestAlgorithm, Qop } from '../../src/core/digest.ts'
import type { GbaMethod } from '../../src/ua/challenge.ts'
import { PROFILE_NAMES, PROFILES, type ProfileName } from '../../src/ue/profiles.ts'

/** One way in which a NAF may be told to challenge. */
export interface ChallengeForm {
  readonly algorithms: readonly DigestAlgorithm[]
  readonly qop: readonly Qop[]
  readonly methods: readonly GbaMethod[]
  readonly realms: 'joined' | 'separate'
  readonly lines: 'separate' | 'joined'
}

/** What a profile makes of a challenge: the digest that it answers with, or why it has no answer. */
export type Outcome = { readonly algorithm: DigestAlgorithm; readonly qop: Qop } | { readonly why: string }

const ALGORITHMS: readonly DigestAlgorithm[][] = [['MD5'], ['SHA-256'], ['MD5', 'SHA-256'], ['SHA-256', 'MD5']]
const QOPS: readonly Qop[][] = [['auth'], ['auth-int'], ['auth', 'auth-int'], ['auth-int', 'auth']]
const REALMS = [
  { methods: ['gba-me'], realms: 'joined' },
  { methods: ['gba-me', 'gba-u'], realms: 'joined' },
  { methods: ['gba-me', 'gba-u'], realms: 'separate' },
] as const satisfies readonly Pick<ChallengeForm, 'methods' | 'realms'>[]

/** Every form; joined lines only where there are several challenges to join. */
export const CHALLENGE_FORMS: readonly ChallengeForm[] = ALGORITHMS.flatMap((algorithms) =>
  QOPS.flatMap((qop) =>
    REALMS.flatMap((realm) => {
      const several = algorithms.length > 1 || realm.realms === 'separate'
      const lines = several ? (['separate', 'joined'] as const) : (['separate'] as const)
      return lines.map((line) => ({ algorithms, qop, ...realm, lines: line }))
    }),
  ),
)

/**
 * What of one 401 each make gets to see, by what is known of the clients themselves: curl answers the first challenge;
 * ImsStack splits each line at its commas, so that of an algorithm that is there twice the last is left, and of a list
 * of qop the first; GBA_ME has no notion of a list.
 */
const READING = {
  standard: { challenges: 'all', qopList: 'whole' },
  android: { challenges: 'last of each line', qopList: 'first' },
  'gba-me': { challenges: 'all', qopList: 'none' },
  curl: { challenges: 'first', qopList: 'whole' },
  strict: { challenges: 'all', qopList: 'whole' },
} as const satisfies Record<ProfileName, { readonly challenges: string; readonly qopList: string }>

/** What follows from the profile's data and the way it reads. Nothing here asks the emulator. */
export function outcomeOf(name: ProfileName, form: ChallengeForm): Outcome {
  const { challenges, qopList } = READING[name]
  const profile = PROFILES[name]
  const repeated = form.realms === 'separate' ? form.methods.flatMap(() => form.algorithms) : form.algorithms
  const readable = {
    all: form.algorithms,
    first: form.algorithms.slice(0, 1),
    'last of each line': form.lines === 'joined' ? repeated.slice(-1) : form.algorithms,
  }[challenges]
  const algorithm = readable.find((candidate) => profile.algorithms.includes(candidate))
  if (algorithm === undefined) return { why: 'no algorithm of its own' }
  if (qopList === 'none' && form.qop.length > 1) return { why: 'a list of qop' }
  const offered = qopList === 'first' ? form.qop.slice(0, 1) : form.qop
  const qop = profile.qops.find((candidate) => offered.includes(candidate))
  return qop ? { algorithm, qop } : { why: 'no qop of its own' }
}

/** Whether a form says what one profile or another cannot tell from the rest. */
export const formName = ({ algorithms, qop, methods, realms, lines }: ChallengeForm): string =>
  `${algorithms.join(', ')}; ${qop.join(', ')}; ${methods.length > 1 ? `two methods, ${realms}` : 'one method'}; ${lines} lines`

export const MATRIX_BEGIN = '<!-- matrix:begin -->'
export const MATRIX_END = '<!-- matrix:end -->'

/** Challenge by profile as a Markdown table; forms that differ for no profile share a row. */
export function matrixTable(): string {
  const rows = Map.groupBy(CHALLENGE_FORMS, (form) =>
    JSON.stringify([form.algorithms, form.qop, PROFILE_NAMES.map((name) => cellOf(outcomeOf(name, form)))]),
  )
  const lines = [...rows].map(([key, forms]) => {
    const [algorithms, qop, cells] = JSON.parse(key) as [string[], string[], string[]]
    return `| ${[algorithms.join(', '), qop.join(', '), linesOf(forms), ...cells].join(' | ')} |`
  })
  const head = ['algorithms', 'qop', 'lines', ...PROFILE_NAMES.map((name) => `\`${name}\``)]
  return [`| ${head.join(' | ')} |`, `|${head.map(() => '---').join('|')}|`, ...lines].join('\n')
}

const cellOf = (outcome: Outcome): string =>
  'why' in outcome ? `– (${outcome.why})` : `${outcome.algorithm} ${outcome.qop}`

function linesOf(forms: readonly ChallengeForm[]): string {
  const all = new Set(forms.map(({ lines }) => lines))
  return all.size > 1 || forms.every(({ algorithms }) => algorithms.length === 1) ? 'any' : ([...all][0] ?? '')
}
