import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { leaksIn } from '../support/secret-search.ts'
import type { TalkativeSite } from './talkative-site.ts'

/** They hold K by design, and belong to the HSS stub and to the UE. */
const HOLDERS = new Set(['subscribers.example.yaml', 'sim.example.yaml'])
/** Every file below. */
export async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
}

export async function assertNoLeaks(
  place: TalkativeSite,
  told: readonly string[],
  more: Readonly<Record<string, Uint8Array>>,
) {
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
  written.set('told to UEs', told.join('\n'))
  const leaks = [...written].flatMap(([where, octets]) => leaksIn(octets, secrets).map((leak) => `${where}: ${leak}`))
  const byDesign = leaks.filter((leak) => [...HOLDERS].some((name) => leak.startsWith(join('deploy', name))))
  assert.ok(byDesign.length > 0, 'the search finds what is there')
  assert.deepEqual(
    leaks.filter((leak) => !byDesign.includes(leak)),
    [],
  )
  assert.ok(secrets.length > 50, `${secrets.length} secrets were looked for`)
  return [...written.keys()]
}

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
