import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { textsIn } from '../support/process-dumps.ts'
import { leaksIn } from '../support/secret-search.ts'
import type { Happened } from './everything-happens.ts'
import type { TalkativeSite } from './talkative-site.ts'

/** They hold K by design, and belong to the HSS stub and to the UE. */
const HOLDERS = new Set(['subscribers.example.yaml', 'sim.example.yaml'])
/** Every file below. */
export async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
}

/**
 * Searches everything that a site wrote down, sent, and holds in memory as far as the runtime shows that.
 * @param more  what else there is, by what it is called
 * @returns where it was looked
 */
export async function assertNoLeaks(
  place: TalkativeSite,
  { told }: Happened,
  more: Readonly<Record<string, Uint8Array>>,
): Promise<readonly string[]> {
  const marker = { name: 'the marker', octets: place.marker.expose() }
  const secrets = place.secrets.all()
  const { directory } = place.site
  const written = new Map<string, Uint8Array | string>(Object.entries(more))
  for (const file of await filesBelow(directory))
    written.set(relative(directory, file), withoutHoles(await readFile(file)))
  for (const role of ['bsf', 'ap'] as const) {
    const { stdout, stderr } = place[role]
    written.set(`log of ${role}`, stdout() + stderr())
  }
  written.set('told to operators', place.said.join('\n'))
  written.set('sent to the application server', place.as.arrived.map(({ head, body }) => `${head}\n${body}`).join('\n'))
  written.set('sent to the collector', place.collector.bodies.join('\n'))
  written.set('told to UEs', told.join('\n'))
  const found = [...written].flatMap(([where, octets]) =>
    leaksIn(octets, [marker, ...secrets]).map((leak) => ({ where, leak })),
  )
  const marked = new Set(found.filter(({ leak }) => leak.startsWith(marker.name)).map(({ where }) => where))
  const unmarked = [...written.keys()].filter((where) => MARKED.test(where) && !marked.has(where))
  assert.deepEqual(unmarked, [], 'the search finds what is there')
  const leaks = found.filter(({ leak }) => !leak.startsWith(marker.name))
  const byDesign = leaks.filter(({ where }) => [...HOLDERS].some((name) => where === join('deploy', name)))
  assert.ok(byDesign.length > 0, 'the search finds what is there')
  assert.deepEqual(
    leaks.filter((leak) => !byDesign.includes(leak)).map(({ where, leak }) => `${where}: ${leak}`),
    [],
  )
  assert.ok(secrets.length > 50, `${secrets.length} secrets were looked for`)
  return [...written.keys()]
}

/** Both processes, as the runtime shows them. */
export async function dumpsOfBoth(place: TalkativeSite): Promise<Record<string, Buffer>> {
  const dumps: Record<string, Buffer> = {}
  for (const role of ['bsf', 'ap'] as const) {
    const { heap, report } = await place.dumps(role)
    dumps[`heap of ${role}`] = textsIn(heap)
    dumps[`report of ${role}`] = Buffer.from(report)
  }
  return dumps
}

/** Batches leave a second after their first span. */
export async function spansArrive({ collector }: TalkativeSite): Promise<void> {
  const giveUpAt = Date.now() + PATIENCE_MS
  for (;;) {
    const names = new Set(collector.spans().map(({ name }) => name))
    if (['ub.bootstrapped', 'ub.refused', 'zn fetch', 'PUT /'].every((name) => names.has(name))) return
    assert.ok(Date.now() < giveUpAt, `spans of ${[...names]}`)
    await delay(50)
  }
}

const PATIENCE_MS = 10_000

/** The marker is in names, in bodies and on command lines, and so has to be found in each of these. */
const MARKED =
  /^(?:log of |heap of |report of |told to |sent to |gba-proxy (?:route|admin routes of ap) |logs\/ap\.audit$|deploy\/(?:ap|bsf)-)/

const PAGE = 4_096

/** Stores have megabytes of nothing. */
function withoutHoles(octets: Buffer): Buffer {
  const nothing = Buffer.alloc(PAGE)
  const pages: Buffer[] = []
  for (let at = 0; at < octets.length; at += PAGE) {
    const page = octets.subarray(at, at + PAGE)
    if (!page.equals(nothing)) pages.push(page)
  }
  return Buffer.concat(pages)
}
