import assert from 'node:assert/strict'
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { toHex } from '../../src/core/bytes.ts'
import type { FaultCode } from '../../src/errors.ts'
import { freePorts } from '../../src/lab.ts'
import { createUe, type Ue } from '../../src/ue/flow.ts'
import { standardProfile } from '../../src/ue/profile.ts'
import { loadSim } from '../../src/ue/sim.ts'
import { type Config, type Deployment, deployment, type Server } from '../support/deployment.ts'

const NAF = 'xcap.ims.mnc001.mcc001.pub.3gppnetwork.org'
const OTHER_NAF = 'lists.ims.mnc001.mcc001.pub.3gppnetwork.org'
const IMSI = '001010123456789'
const ALICE = 'sip:alice@ims.mnc001.mcc001.3gppnetwork.org'
const DOCUMENT = `/resource-lists/users/${ALICE}/index`
/** What every subscriber may read. */
const CAPABILITIES = `https://${NAF}/xcap-caps/global/index`
const TYPE = { 'Content-Type': 'application/resource-lists+xml' }
const LIST = '<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"><list name="friends"/></resource-lists>'

/** What is wrong with an AP, and who says so. */
interface Refusal {
  readonly name: string
  readonly change: (config: Config) => void
  readonly status: number
  readonly apCode: FaultCode
  readonly bsfCode: FaultCode | undefined
  readonly host?: string
}

describe('processes of their own for BSF, AP and AS, from the files of deploy/,', () => {
  let site: Deployment
  let bsf: Server
  let as: Server
  let ap: Server
  const ues: Ue[] = []
  before(async () => {
    site = await deployment()
    const names = ['--naf', NAF, '--naf', OTHER_NAF, '--zn-client', 'ap', '--zn-client', 'stranger']
    for (const args of [
      ['--dir', 'certs', ...names],
      ['--dir', 'certs-of-another-ca'],
    ]) {
      const made = await site.cli('certs', 'make', ...args)
      assert.equal(made.status, 0, made.stderr)
    }
    await mkdir(join(site.directory, 'state'))
    await copyFile(join(site.directory, 'deploy', 'sim.example.yaml'), join(site.directory, 'state', 'alice.yaml'))
    ;[bsf, as, ap] = await Promise.all([site.serve('bsf.yaml'), site.serve('as.yaml'), site.serve('ap.yaml')])
  })
  after(async () => {
    for (const ue of ues) ue.close()
    await site?.close()
  })

  /** alice, with a card that has forgotten everything. @param apPort  the AP she is led to with each connection */
  async function alice(apPort: () => number = () => site.ports.ap): Promise<Ue> {
    const sim = await loadSim(join(site.directory, 'state', 'alice.yaml'))
    const ca = await readFile(sim.caFile ?? assert.fail('no caFile'))
    const connect = [NAF, OTHER_NAF].map((host) => {
      return Object.defineProperty({ host, toHost: '127.0.0.1', toPort: 0 }, 'toPort', { get: apPort })
    })
    const profile = { ...standardProfile, connections: 'one-per-request' } as const
    const ue = createUe(sim, { ca, connect, profile })
    ues.push(ue)
    return ue
  }

  /** A second AP: ap.yaml, changed, on a port and with a state of its own. */
  async function anotherAp(name: string, change: (config: Config) => void): Promise<{ ap: Server; port: number }> {
    const { ap: port } = await freePorts()
    await site.vary('ap.yaml', `${name}.yaml`, (config) => {
      config.ap.port = port
      config.store.directory = `../state/${name}`
      change(config)
    })
    return { ap: await site.serve(`${name}.yaml`), port }
  }

  /** ap.yaml with one mistake as broken.yaml, on a port and with a state directory that nobody has. */
  async function writeBroken([right, wrong]: readonly [string, string]): Promise<{ port: number; line: number }> {
    const { ap: port } = await freePorts()
    const text = (await readFile(join(site.directory, 'deploy', 'ap.yaml'), 'utf8'))
      .replace(`port: ${site.ports.ap}`, `port: ${port}`)
      .replace('../state/ap', '../state/broken')
      .replace(right, wrong)
    await writeFile(join(site.directory, 'deploy', 'broken.yaml'), text)
    return { port, line: text.split('\n').findIndex((each) => each.includes(wrong)) + 1 }
  }

  test('are said to be good by gba-proxy check', async () => {
    for (const file of ['bsf.yaml', 'ap.yaml', 'as.yaml', 'config.example.yaml']) {
      const { status, stdout, stderr } = await site.cli('check', '--config', join('deploy', file))
      assert.equal(status, 0, stderr)
      assert.equal(stderr, '')
      assert.match(stdout, /: good; roles: /)
    }
  })

  test('serve the whole flow: bootstrap at one, documents at the other', async () => {
    const ue = await alice()
    const url = `https://${NAF}${DOCUMENT}`
    assert.equal((await ue.request('GET', url)).status, 404)
    const made = await ue.request('PUT', url, { body: LIST, headers: TYPE })
    assert.deepEqual([made.status, made.rspauth], [201, 'verified'])
    const got = await ue.request('GET', url)
    assert.deepEqual([got.status, got.text(), got.rspauth], [200, LIST, 'verified'])
    const etag = got.header('etag') ?? ''
    const changed = await ue.request('PUT', url, { body: LIST, headers: { ...TYPE, 'If-Match': etag } })
    assert.equal(changed.status, 200)
    const stale = await ue.request('PUT', url, { body: LIST, headers: { ...TYPE, 'If-Match': etag } })
    assert.equal(stale.status, 412)
    const foreign = await ue.request('GET', url.replace('alice', 'bob'))
    assert.equal(foreign.status, 403)

    for (const event of ['zh.av-drawn', 'ub.bootstrapped', 'zn.granted'] as const) {
      assert.equal((await bsf.decisions(event, 1)).length, 1, event)
    }
    assert.deepEqual(
      (await ap.decisions('ut.forwarded', 5)).map(({ status }) => status),
      [404, 201, 200, 200, 412],
    )
  })

  test('serve gba-proxy ue, too', async () => {
    const ue = (...args: string[]) => site.cli('ue', '--sim', join('state', 'alice.yaml'), ...args)
    const got = await ue('-i', `https://${NAF}${DOCUMENT}`)
    assert.equal(got.status, 0, got.stderr)
    assert.match(got.stdout, /^HTTP\/1\.1 200 OK\r\n/)
    assert.ok(got.stdout.endsWith(LIST))
    assert.equal((await ue('-f', '-X', 'DELETE', `https://${NAF}${DOCUMENT}`)).status, 0)
    assert.equal((await ue('-f', `https://${NAF}${DOCUMENT}`)).status, 22)
  })

  test('may be several APs over one directory, which ask the BSF for a key once', async () => {
    const { ap: other, port } = await anotherAp('same', (config) => {
      config.store.directory = '../state/ap'
    })
    const asked = async () => {
      const fetched = await Promise.all([ap, other].map((each) => each.decisions('zn.fetched')))
      return fetched.flat().length
    }
    const before = { asked: await asked(), granted: (await bsf.decisions('zn.granted')).length }
    let turn = 0
    const ue = await alice(() => (turn++ % 2 === 0 ? site.ports.ap : port))
    for (let i = 0; i < 20; i++) assert.equal((await ue.request('GET', CAPABILITIES)).status, 200)
    assert.ok((await other.decisions('ut.forwarded', 5)).length >= 5)
    assert.equal(await asked(), before.asked + 1)
    assert.equal((await bsf.decisions('zn.granted')).length, before.granted + 1)
    assert.equal(await other.stop(), 0)
  })

  test('write down neither keys nor identities', async () => {
    const granted = (await bsf.decisions('zn.granted')).length
    const forwarded = (await ap.decisions('ut.forwarded')).length
    const ue = await alice()
    const { btid, password, ksNaf } = await ue.credentials(CAPABILITIES)
    assert.equal((await ue.request('GET', CAPABILITIES)).status, 200)
    await bsf.decisions('zn.granted', granted + 1)
    await ap.decisions('ut.forwarded', forwarded + 1)
    const written = [bsf, ap, as].map((server) => server.stdout() + server.stderr()).join('')
    const secrets = [password, toHex(ksNaf.expose(32)), IMSI, 'alice', btid, btid.split('@')[0] ?? '']
    for (const secret of secrets) assert.ok(!written.includes(secret), secret)
  })

  for (const { name, change, status, apCode, bsfCode, host = NAF } of [
    {
      name: 'the certificate of its CA under a name that is not listed',
      change: ({ ap: { zn } }: Config) => {
        zn.certificateFile = '../certs/zn-stranger.pem'
        zn.keyFile = '../certs/zn-stranger.key'
      },
      ...{ status: 403, apCode: 'ZN_NOT_AUTHORISED', bsfCode: 'ZN_NAF_NOT_LISTED' },
    },
    {
      name: 'a certificate of another CA under the name that is listed',
      change: ({ ap: { zn } }: Config) => {
        zn.certificateFile = '../certs-of-another-ca/zn-ap.pem'
        zn.keyFile = '../certs-of-another-ca/zn-ap.key'
      },
      ...{ status: 503, apCode: 'ZN_BSF_UNREACHABLE', bsfCode: undefined },
    },
    {
      name: 'a request for a host name that its entry does not have',
      change: ({ ap: { nafs } }: Config) => nafs.push({ fqdn: OTHER_NAF }),
      ...{ status: 403, apCode: 'ZN_NOT_AUTHORISED', bsfCode: 'ZN_NOT_AUTHORISED', host: OTHER_NAF },
    },
    {
      name: 'a request for a service that its entry does not have',
      change: ({ ap: { routes } }: Config) => routes[0].gsids.push(4),
      ...{ status: 403, apCode: 'ZN_NOT_AUTHORISED', bsfCode: 'ZN_NOT_AUTHORISED' },
    },
  ] as readonly Refusal[]) {
    test(`Zn refuses an AP with ${name}, and the UE gets ${status}`, async () => {
      const refused = (await bsf.decisions('zn.refused')).length
      const granted = (await bsf.decisions('zn.granted')).length
      const { ap: other, port } = await anotherAp(`ap-${status}-${apCode}-${bsfCode}-${host}`, change)
      const ue = await alice(() => port)
      const answer = await ue.request('GET', `https://${host}${DOCUMENT}`)
      assert.equal(answer.status, status)
      assert.equal(answer.header('content-type'), 'application/problem+json')
      assert.equal(answer.header('retry-after') !== undefined, status === 503)
      const [challenged, fault] = await other.decisions('ut.refused', 2)
      assert.deepEqual([challenged?.code, fault?.code], ['UA_CREDENTIALS_MISSING', apCode])
      const news = (await bsf.decisions('zn.refused', refused + (bsfCode ? 1 : 0))).slice(refused)
      assert.deepEqual(
        news.map((record) => [record.code, record.status]),
        bsfCode ? [[bsfCode, 403]] : [],
      )
      assert.equal((await bsf.decisions('zn.granted')).length, granted)
      assert.equal((await other.decisions('ut.forwarded')).length, 0)
      assert.equal(await other.stop(), 0)
    })
  }

  test('an AP hangs up on a BSF whose certificate it does not trust, and the UE gets 503', async () => {
    const { ap: other, port } = await anotherAp('ap-mistrusts', ({ ap: { zn } }) => {
      zn.caFile = '../certs-of-another-ca/ca.pem'
    })
    const answer = await (await alice(() => port)).request('GET', `https://${NAF}${DOCUMENT}`)
    assert.equal(answer.status, 503)
    assert.equal((await other.decisions('ut.refused', 2)).at(-1)?.code, 'ZN_BSF_UNREACHABLE')
  })

  for (const [name, wrong, key, hint] of [
    ['a key that is not known', ['ownership:', 'ownershp:'], 'ap.routes[0].ownershp', 'ap.routes[0].ownership'],
    ['a server that is not there', ['appServer: xdms', 'appServer: xdsm'], 'ap.routes[0].appServer', 'xdms'],
    ['text for a number', ['port: ', 'port: x'], 'ap.port', 'number'],
  ] as const) {
    test(`do not start with ${name}: exit code 2, with file, line and key`, async () => {
      const { port, line } = await writeBroken(wrong)
      const { status, stdout, stderr } = await site.cli('serve', '--config', 'deploy/broken.yaml')
      assert.deepEqual([status, stdout], [2, ''])
      assert.ok(stderr.startsWith(`deploy/broken.yaml:${line}: ${key}: `), stderr)
      assert.ok(stderr.includes(hint), stderr)
      await assert.rejects(knock(port), { code: 'ECONNREFUSED' })
      assert.ok(!(await readdir(join(site.directory, 'state'))).includes('broken'))
    })
  }

  test('do not start without a file that the configuration names, which is named', async () => {
    const { port } = await writeBroken(['zn-ap.key', 'zn-lost.key'])
    const { status, stdout, stderr } = await site.cli('serve', '--config', 'deploy/broken.yaml')
    assert.deepEqual([status, stdout], [2, ''])
    assert.match(stderr, /certs\/zn-lost\.key: /)
    await assert.rejects(knock(port), { code: 'ECONNREFUSED' })
  })

  test('do not start on a port that is taken, and say so', async () => {
    const { status, stderr } = await site.cli('serve', '--config', 'deploy/ap.yaml')
    assert.equal(status, 1)
    assert.match(stderr, new RegExp(`127\\.0\\.0\\.1:${site.ports.ap} is in use`))
    assert.equal((await (await alice()).request('GET', CAPABILITIES)).status, 200)
  })

  test('end with exit code 0 on SIGTERM, one after the other', async () => {
    const [known, unknown] = [await alice(), await alice()]
    assert.equal((await known.request('GET', CAPABILITIES)).status, 200)
    await unknown.bootstrap()

    assert.equal(await bsf.stop('SIGTERM'), 0)
    // the AP has this one's key already, and cannot ask for the other's
    assert.equal((await known.request('GET', CAPABILITIES)).status, 200)
    assert.equal((await unknown.request('GET', CAPABILITIES)).status, 503)
    assert.equal(await as.stop('SIGTERM'), 0)
    assert.equal((await known.request('GET', CAPABILITIES)).status, 502)
    assert.equal(await ap.stop('SIGTERM'), 0)
  })
})

function knock(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.destroy()
      resolve()
    })
  })
}
