import assert from 'node:assert/strict'
import { copyFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe } from 'node:test'
import { connect } from 'node:tls'
import { fileURLToPath } from 'node:url'
import type { App } from '../../src/app.ts'
import { LAB_NAF } from '../../src/lab.ts'
import { createUe, type Ue } from '../../src/ue/flow.ts'
import { loadSim } from '../../src/ue/sim.ts'
import { type Deployment, deployment } from '../support/deployment.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { findProgram, peerTest } from '../support/peer.ts'
import { type Running, run, start } from '../support/programs.ts'
import { type ScriptedAs, scriptedAs } from '../support/scripted-as.ts'

// A process whose clock jumps, as it would where somebody sets it: OpenSSL and LMDB look at it as well. libfaketime tells
// the process another time than there is, and leaves the clock that only runs on alone, as the kernel would.

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const OWN = '/resource-lists/users/sip:alice@ims.mnc001.mcc001.3gppnetwork.org/index'
const PROGRAMS = ['faketime'] as const
const hasFaketime = PROGRAMS.every((program) => findProgram(program) !== undefined)

describe('a process whose clock jumps by two hours', () => {
  let site: Deployment
  let as: ScriptedAs
  let server: Running
  let ca: Buffer
  let clock: string
  const ues: Ue[] = []
  const jump = (to: string) => writeFile(clock, `${to}\n`)

  before(async () => {
    if (!hasFaketime) return
    as = await scriptedAs((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nrecorded'))
    site = await deployment()
    assert.equal((await site.cli('certs', 'make', '--dir', 'certs', '--naf', LAB_NAF)).status, 0)
    await site.vary('config.example.yaml', 'jumping.yaml', (config) => {
      config.bsf.keyLifetimeS = 3600
      config.ap.appServers[0].url = as.url
      delete config.as
    })
    ca = await readFile(join(site.directory, 'certs', 'ca.pem'))
    clock = join(site.directory, 'clock')
    // Up for longer than a jump; one more goes behind its start.
    await jump('-3h')
    const library = await run('faketime', ['-m', '-f', '+0', 'sh', '-c', 'echo "$LD_PRELOAD"'], { env: process.env })
    const env = {
      ...process.env,
      LD_PRELOAD: library.stdout.trim(),
      FAKETIME_TIMESTAMP_FILE: clock,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    }
    const args = [MAIN, 'serve', '--config', join('deploy', 'jumping.yaml')]
    const isUp = ({ stderr }: Pick<Running, 'stderr'>) => / up; /.test(stderr())
    server = await start(process.execPath, args, isUp, { cwd: site.directory, env })
    await jump('+0')
  })
  after(async () => {
    for (const ue of ues) ue.close()
    await server?.stop()
    await site?.close()
    await as?.close()
  })

  let cards = 0
  async function alice(): Promise<HandUe> {
    const file = join(site.directory, `alice-${cards++}.yaml`)
    await copyFile(join(site.directory, 'deploy', 'sim.example.yaml'), file)
    const app = { addresses: { ap: { host: '127.0.0.1', port: site.ports.ap } } } as unknown as App
    const ue = async () => {
      const made = createUe(await loadSim(file), { ca })
      ues.push(made)
      return made
    }
    return handUe({ app, ca, ue })
  }

  /** A TLS 1.2 connection, whose session there is as soon as it stands. */
  const meet = (session?: Buffer) =>
    new Promise<{ readonly session: Buffer; readonly resumed: boolean }>((resolve, reject) => {
      const options = {
        host: '127.0.0.1',
        port: site.ports.ap,
        servername: LAB_NAF,
        ca,
        maxVersion: 'TLSv1.2',
      } as const
      const socket = connect({ ...options, ...(session && { session }) }, () => {
        resolve({ session: socket.getSession() ?? assert.fail('no session'), resumed: socket.isSessionReused() })
        socket.destroy()
      })
      socket.once('error', reject)
    })

  peerTest('accepts nothing twice, ends what has expired, and goes on', PROGRAMS, async () => {
    const captured: Buffer[] = []
    let accepted = 0
    const comesAnew = async () => {
      const ue = await alice()
      const octets = await ue.signed('PUT', OWN, { body: '<a/>' })
      assert.equal((await ue.send(octets)).status, 200)
      captured.push(octets)
      accepted++
      return ue
    }
    const nothingTwice = async () => {
      const one = await alice()
      for (const octets of captured) assert.equal((await one.send(octets)).status, 401)
      assert.equal(as.arrived.length, accepted)
    }
    const early = await comesAnew()
    const { session } = await meet()
    assert.equal((await meet(session)).resumed, true)

    await jump('+2h')
    await nothingTwice()
    const nonce = await early.freshNonce()
    assert.equal((await early.request('GET', OWN, { nonce, nc: 1 })).status, 401, 'its key has had its hour')
    assert.equal((await meet(session)).resumed, false, 'so has the session')
    await comesAnew()
    const ahead = await meet()

    await jump('-2h')
    await nothingTwice()
    await comesAnew()
    // Resumed or not, the session proves nobody: what came over it is asked for credentials as ever.
    await meet(ahead.session)
    await nothingTwice()

    await jump('-4h')
    await nothingTwice()
    const beforeStart = await comesAnew()
    assert.equal((await beforeStart.request('PUT', OWN, { body: '<a/>' })).status, 200)
    accepted++
    await nothingTwice()

    await jump('+0')
    await nothingTwice()
    await comesAnew()
    await nothingTwice()
    assert.equal((await meet((await meet()).session)).resumed, true)

    const lines = server.stdout().split('\n').slice(0, -1)
    const records = lines.map((line): Record<string, unknown> => JSON.parse(line))
    assert.deepEqual(
      records.filter(({ level, status }) => level === 'error' || Number(status) >= 500),
      [],
    )
    const { length } = records.filter(({ event }) => event === 'ut.forwarded')
    assert.equal(length, accepted)
    assert.equal(await server.stop(), 0)
  })
})
