import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { changesBetween, keysOf, needingRestart, RestartNeeded } from '../../src/config/changes.ts'
import { configOf } from '../../src/config/load.ts'
import { configSchema } from '../../src/config/schema.ts'
import type { SchemaNode } from '../../src/config/validate.ts'

const route = (more: object = {}) => ({ appServer: 'xdms', ...more })
const ap = (more: object = {}) => ({
  tls: { certificateFile: 'ap.pem', keyFile: 'ap.key' },
  nafs: [{ fqdn: 'xcap.example.org' }],
  appServers: [{ name: 'xdms', url: 'http://127.0.0.1:8085' }],
  routes: [route()],
  ...more,
})
const config = (more: object = {}, apMore: object = {}) =>
  configOf({ hss: {}, bsf: { names: ['bsf.example.org'] }, ap: ap(apMore), ...more }, '/etc/gba.yaml')

/** What changes, and what it takes. */
const between = (...[before, after]: ReturnType<typeof config>[]) =>
  changesBetween(before ?? config(), after ?? config()).map(({ key, takes }) => `${key} ${takes}`)

describe('the keys of the configuration', () => {
  function unmarked(node: SchemaNode, path: string): string[] {
    const children = [...Object.entries(node.properties ?? {}), ...(node.items ? [['[]', node.items] as const] : [])]
    const own = path !== '' && node.reload === undefined ? [path] : []
    return [...own, ...children.flatMap(([name, child]) => unmarked(child, `${path}.${name}`))]
  }

  test('say, each of them, what a change takes', () => assert.deepEqual(unmarked(configSchema, ''), []))

  for (const [key, takes] of [
    ['log.level', 'live'],
    ['log.identities', 'restart'],
    ['workers', 'restart'],
    ['store.kind', 'restart'],
    ['traces.enabled', 'restart'],
    ['traces.trustedSources', 'restart'],
    ['bsf.ub.port', 'restart'],
    ['bsf.ub.limits', 'live'],
    ['ap.port', 'restart'],
    ['ap.nafs', 'live'],
    ['ap.routes', 'live'],
    ['ap.appServers', 'live'],
    ['ap.tolerance', 'live'],
    ['ap.challenge.algorithms', 'live'],
    // The record of used nonces lets go of what has aged: a longer life would bring it back.
    ['ap.challenge.nonceLifetimeS', 'restart'],
    ['ap.challenge.nonceKeyFile', 'restart'],
    ['ap.rebootstrapFile', 'live'],
    ['ap.httpFront', 'restart'],
    ['ap.front', 'restart'],
    ['ap.limits.failures', 'live'],
    ['ap.limits.inFlight', 'live'],
    ['ap.limits.maxLoopDelayMs', 'live'],
    ['ap.limits.bodyBytes', 'restart'],
  ] as const) {
    test(`${key}: ${takes}`, () => {
      let node: SchemaNode | undefined = configSchema
      for (const step of key.split('.')) node = node?.properties?.[step]
      assert.equal(node?.reload, takes)
    })
  }
})

describe('two configurations', () => {
  test('that say the same have no change between them, however they say it', () => {
    assert.deepEqual(between(config(), config({ log: { level: 'info' } }, { port: 8443 })), [])
  })

  test('differ by key, by place in a list, and by the list where it grew or shrank', () => {
    const after = config(
      { log: { level: 'warn' } },
      { routes: [route({ gsids: [2] })], appServers: [...ap().appServers, { name: 'b', url: 'http://127.0.0.1:1' }] },
    )
    const changes = ['log.level live', 'ap.appServers live', 'ap.routes[0].gsids live']
    assert.deepEqual(between(config(), after), changes)
    assert.deepEqual(between(after, config()), changes)
  })

  test('differ by a section as a whole where one has it and the other has not', () => {
    const front = { addresses: ['192.0.2.1'] }
    assert.deepEqual(between(config(), config({}, { front })), ['ap.front restart'])
    assert.deepEqual(between(config(), config({ as: {} })), ['as restart'])
    const challenge = { qop: ['auth-int'] }
    assert.deepEqual(between(config(), config({}, { routes: [route({ challenge })] })), ['ap.routes[0].challenge live'])
  })

  test('differ by name only where a value may be a secret', () => {
    const fixedHeaders = { 'X-Token': 'a secret' }
    const after = config({}, { appServers: [{ ...ap().appServers[0], fixedHeaders }] })
    const changes = changesBetween(config(), after)
    assert.deepEqual(keysOf(changes), ['ap.appServers[0].fixedHeaders'])
    assert.doesNotMatch(JSON.stringify(changes), /secret|Token/)
  })

  test('need a restart where the first route opens the door psk, and none where a further one does', () => {
    const psk = (n: number) => config({}, { routes: [route({ doors: ['psk'], pathPrefix: '/a' }), ...others(n)] })
    const others = (n: number) => Array.from({ length: n }, (_, i) => route({ doors: ['psk'], pathPrefix: `/b${i}` }))
    const without = config({}, { routes: [route({ doors: ['digest'], pathPrefix: '/a' })] })
    assert.deepEqual(between(without, psk(0)), ['ap.routes[0].doors restart'])
    assert.deepEqual(between(without, psk(1)), ['ap.routes restart'])
    assert.deepEqual(between(psk(0), psk(1)), ['ap.routes live'])
    assert.deepEqual(between(psk(0), without), ['ap.routes[0].doors live'])
  })

  test('of which one needs a restart are told apart by those keys', () => {
    const changes = changesBetween(config(), config({ workers: 2, log: { level: 'warn', identities: 'clear' } }))
    assert.deepEqual(keysOf(needingRestart(changes)), ['log.identities', 'workers'])
    assert.deepEqual(new RestartNeeded(changes).keys, ['log.identities', 'workers'])
  })
})
