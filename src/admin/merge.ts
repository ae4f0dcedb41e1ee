import type { ShownBootstrap } from './calls.ts'
import { type AdminAnswer, type AdminBody, MOST_NAFS, MOST_REFUSALS, type Participation } from './calls.ts'

/** What came of asking one of several processes. */
export type WorkerAnswer =
  | { readonly number: number; readonly answer: AdminAnswer }
  | { readonly number: number; readonly missing: 'silent' | 'ended' }

/**
 * One answer of what several processes know. Whoever has not answered is named in it; that nobody knows a thing is said
 * only when all have answered, since one that is silent might.
 */
export function mergeShown(answers: readonly WorkerAnswer[]): AdminAnswer {
  const workers = participation(answers)
  const given = answersIn(answers)
  const good = given.filter(isGood)
  if (good.length > 0) return { ...merged(good), workers }
  const failed = given.find(hasFailed)
  if (failed) return { ...failed, workers }
  const silent = numbersOf(workers, 'silent')
  if (silent.length > 0) return { status: 504, detail: `${saying(silent)}; nobody else knows of it`, workers }
  const [first] = given
  return first ? { ...first, ...aboutOf(given), workers } : { ...NOBODY, workers }
}

/**
 * One answer of what several processes were told to do, and may have been told twice: good only when each of them has
 * done what there was for it to do. One that has ended has nothing left that could be wrong.
 */
export function mergeDone(answers: readonly WorkerAnswer[]): AdminAnswer {
  const workers = participation(answers)
  const given = answersIn(answers)
  const about = aboutOf(given)
  const done = workers.answered.length > 0 ? `done in ${listed(workers.answered)}` : 'done in none'
  const failed = given.find((answer) => !isGood(answer) && answer.status !== 404)
  if (failed) return { ...failed, ...about, detail: `${failed.detail ?? 'failed'}; ${done}`, workers }
  const silent = numbersOf(workers, 'silent')
  if (silent.length > 0) return { status: 504, ...about, detail: `${saying(silent)} and is told; ${done}`, workers }
  const good = given.filter(isGood)
  if (good.length > 0) return { ...merged(good), workers }
  const [first] = given
  return first ? { ...first, ...about, workers } : { ...NOBODY, workers }
}

const NOBODY: AdminAnswer = { status: 503, detail: 'no worker serves now' }

const isGood = ({ status }: AdminAnswer): boolean => status < 300
const hasFailed = ({ status }: AdminAnswer): boolean => status >= 500
const answersIn = (answers: readonly WorkerAnswer[]): AdminAnswer[] =>
  answers.flatMap((one) => ('answer' in one ? [one.answer] : []))

/** What was worst of each: a worker may have been asked more than once, or be the successor of one that was. */
function participation(answers: readonly WorkerAnswer[]): Participation {
  const answered = new Set<number>()
  const missing = new Map<number, Participation['missing'][string]>()
  for (const one of answers) {
    if ('missing' in one) {
      if (missing.get(one.number) === undefined || one.missing === 'silent') missing.set(one.number, one.missing)
    } else if (isGood(one.answer) || one.answer.status === 404) answered.add(one.number)
    else missing.set(one.number, 'failed')
  }
  for (const [number, how] of missing) {
    if (how === 'ended' && answered.has(number)) missing.delete(number)
    else answered.delete(number)
  }
  return { answered: [...answered].sort((a, b) => a - b), missing: Object.fromEntries(missing) }
}

const numbersOf = ({ missing }: Participation, how: string): number[] =>
  Object.entries(missing).flatMap(([number, found]) => (found === how ? [Number(number)] : []))

const listed = (numbers: readonly number[]): string =>
  `${numbers.length === 1 ? 'worker' : 'workers'} ${numbers.join(', ')}`
const saying = (silent: readonly number[]): string =>
  `${listed(silent)} ${silent.length === 1 ? 'does' : 'do'} not answer`

function aboutOf(answers: readonly AdminAnswer[]): Pick<AdminAnswer, 'about'> {
  const about = Object.assign({}, ...answers.map((answer) => answer.about))
  return Object.keys(about).length > 0 ? { about } : {}
}

const merged = (good: readonly AdminAnswer[]): AdminAnswer => ({
  status: good[0]?.status ?? 200,
  body: mergedBody(good.flatMap(({ body }) => body ?? [])),
  ...aboutOf(good),
})

function mergedBody(bodies: readonly AdminBody[]): AdminBody {
  const [first = {}] = bodies
  const bootstraps = eachOnce(bodies.flatMap((body) => body.bootstraps ?? []))
  const [bootstrap] = eachOnce(bodies.flatMap((body) => body.bootstrap ?? []))
  const refusals = bodies.flatMap((body) => body.refusals ?? []).sort((a, b) => latestFirst(a.time, b.time))
  const latest = (field: 'seenSince' | 'sqn') => bodies.flatMap((body) => body[field] ?? []).sort(latestFirst)[0]
  const [seenSince, sqn] = [latest('seenSince'), latest('sqn')]
  return {
    ...first,
    ...(first.bsf !== undefined && { bsf: bodies.some(({ bsf }) => bsf) }),
    ...(first.cachedKeys !== undefined && {
      cachedKeys: bodies.reduce((sum, { cachedKeys = 0 }) => sum + cachedKeys, 0),
    }),
    ...(sqn !== undefined && { sqn }),
    ...(first.bootstraps && { bootstraps }),
    ...(bootstrap && { bootstrap }),
    ...(first.refusals && { refusals: refusals.slice(0, MOST_REFUSALS) }),
    // Whoever began last has seen nothing of what was before.
    ...(seenSince !== undefined && { seenSince }),
  }
}

const latestFirst = (a: string, b: string): number => (a < b ? 1 : a > b ? -1 : 0)

/** What the store has is the same everywhere; which NAFs have asked is what each process has seen. The latest first. */
function eachOnce(bootstraps: readonly ShownBootstrap[]): ShownBootstrap[] {
  const found = new Map<string, ShownBootstrap>()
  for (const one of bootstraps) {
    const nafs = new Set([...(found.get(one.btid)?.nafs ?? []), ...one.nafs])
    found.set(one.btid, { ...one, nafs: [...nafs].slice(0, MOST_NAFS) })
  }
  return [...found.values()].sort((a, b) => latestFirst(a.createdAt, b.createdAt))
}
