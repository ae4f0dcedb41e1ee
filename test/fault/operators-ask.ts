import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LAB_NAF } from '../../src/lab.ts'
import { inProcess } from '../support/in-process.ts'
import { leaksIn } from '../support/secret-search.ts'
import type { Happened } from './everything-happens.ts'
import { BSF, own, type TalkativeSite } from './talkative-site.ts'

/** Commands that explain, look or dump, over what has happened. @returns what they printed, by command */
export async function operatorsAsk(place: TalkativeSite, { asked, btid }: Happened): Promise<Record<string, Buffer>> {
  const { site, cards, secrets } = place
  const [alice] = cards
  const said: Record<string, Buffer> = {}
  const ask = async (codes: readonly number[], args: readonly string[], stdin = '', of = '') => {
    const { code, stdout, stderr } = await inProcess(args, stdin)
    const name = `gba-proxy ${args[0]} ${args[1]}${of} (${Object.keys(said).length})`
    assert.ok(codes.includes(code) && stdout.length + stderr.length > 0, `${name}: ${code} ${stderr}`)
    said[name] = Buffer.from(stdout + stderr)
    return stdout + stderr
  }
  const subscribers = join(site.directory, 'deploy', 'subscribers.example.yaml')
  const audit = join(site.directory, 'logs', 'ap.audit')
  const hex = (octets: Uint8Array) => Buffer.from(octets).toString('hex')
  // The SIM and the state beside it hold keys by design: out of the folder that is searched.
  const pocket = await mkdtemp(join(tmpdir(), 'gba-proxy-pocket-'))
  try {
    const sim = join(pocket, 'alice.yaml')
    const card = `imsi: '${alice.impi.split('@')[0]}'\nk: '${hex(alice.k.expose())}'\nopc: '${hex(alice.opc.expose())}'\n`
    const connect = `connect:\n  ${BSF}: '127.0.0.1:${site.ports.ub}'\n  ${LAB_NAF}: '127.0.0.1:${site.ports.ap}'\n`
    await writeFile(sim, `${card}caFile: ${join(site.directory, 'certs', 'ca.pem')}\n${connect}`)
    const verbose = await ask([0], ['ue', '-v', '-i', '--sim', sim, `https://${LAB_NAF}${own('alice')}`])
    assert.match(verbose, /Digest /)
    const state = JSON.parse(await readFile(join(pocket, 'alice.state.json'), 'utf8'))
    secrets.ofChallenge(alice, Buffer.from(String(state.bootstrap.btid).replace(/@.*/, ''), 'base64'))

    const ks = secrets.all().find(({ name }) => name.startsWith('Ks (alice'))?.octets ?? assert.fail('no Ks')
    for (const request of asked.map(String)) {
      for (const key of [
        ['--subscribers', subscribers],
        ['--subscribers', subscribers, '--impi', alice.impi],
        ['--sim', sim],
        ['--ks', hex(ks), '--impi', alice.impi],
      ]) {
        await ask([0, 1], ['explain', ...key, '-'], request)
      }
    }
    await ask([0, 1], ['explain', '--subscribers', subscribers, '-'], verbose)
    const refused = (await readFile(audit, 'utf8')).split('\n').find((line) => line.includes('UA_RESPONSE_WRONG')) ?? ''
    await ask([0], ['explain', '--request-id', JSON.parse(refused).requestId, '--audit', audit])
    // It can be asked for keys, and then the search finds them.
    const { stdout } = await inProcess(['explain', '--subscribers', subscribers, '--show-keys', '-'], `${asked[0]}`)
    assert.ok(leaksIn(stdout, secrets.all()).some((leak) => leak.startsWith('Ks_NAF')))

    const broken = (await readFile(subscribers, 'utf8')).replace(/ k: '/, " k: 'x")
    await writeFile(join(pocket, 'broken.yaml'), broken)
    const config = (await readFile(join(site.directory, 'deploy', place.files.bsf), 'utf8'))
      .replace('subscribers.example.yaml', join(pocket, 'broken.yaml'))
      .replaceAll('../', `${site.directory}/`)
    await writeFile(join(pocket, 'bsf.yaml'), config)
    assert.match(await ask([2], ['check', '--config', join(pocket, 'bsf.yaml')]), /subscribers\[0\]\.k/)
    const apFile = join(site.directory, 'deploy', place.files.ap)
    await ask([0, 1], ['route', '--config', apFile, 'GET', `https://${LAB_NAF}${own('alice')}`])

    for (const [i, port] of place.admin.entries()) {
      const at = ['--url', `http://127.0.0.1:${port}`]
      await ask([0, 1], ['health', ...at])
      for (const words of [
        ['bootstraps', alice.impi],
        ['bootstrap', btid],
        ['subscriber', alice.impi],
        ['routes'],
        ['refusals'],
      ]) {
        await ask([0, 1, 3], ['admin', ...words, ...at, '--json'], '', i === 0 ? ' of bsf' : ' of ap')
      }
    }
  } finally {
    await rm(pocket, { recursive: true, force: true })
  }
  return said
}
