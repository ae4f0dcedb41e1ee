import assert from 'node:assert/strict'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { inspect } from 'node:util'
import type { Fqdn } from '../../src/core/identity.ts'
import { redisClient } from '../../src/store/redis-client.ts'
import { openRedis } from '../../src/store/redis-environment.ts'
import { makeLabPki } from '../../src/tls/issue.ts'
import { isUnavailable } from '../contract/adapter.ts'
import { aBootstrap } from '../contract/samples.ts'
import { peerTest } from '../support/peer.ts'
import { REDIS_PROGRAMS, redisServer, until } from '../support/redis.ts'
import { aDirectory } from './directory.ts'
import { aFreshNonce, aHost, aSealKeyFile } from './redis-hosts.ts'

const PASSWORD = 'correct horse battery staple'
/** All that an ACL user needs. */
const ACL =
  '~gba:* &* -@all +evalsha +eval +info +wait +get +set +del +exists +hget +hset +hmget +hdel +hlen ' +
  '+zadd +zrem +zcard +zrange +zrevrange +zrangebyscore +zscore +unlink +pttl +pexpire +ping +cluster|slots +cluster|info'

function written(name: string, text: string, mode = 0o600): string {
  const path = join(aDirectory(), name)
  writeFileSync(path, text)
  chmodSync(path, mode)
  return path
}

/** A server that speaks TLS only, to `localhost` and to clients with a certificate, and knows one user. */
async function guarded(t: TestContext) {
  const fqdn = 'localhost' as Fqdn
  const names = { bsf: [fqdn], naf: [fqdn], znClients: [{ name: 'host.example.org' as Fqdn }] }
  const pki = await makeLabPki({ names, now: Date.now(), validDays: 2 })
  const client = pki.znClients['host.example.org']
  assert.ok(client)
  const caFile = written('ca.pem', pki.ca.certificate)
  const server = await redisServer()
  t.after(() => server.close())
  const tlsPort = server.port
  for (const words of [
    [
      'CONFIG',
      'SET',
      'tls-cert-file',
      written('s.pem', pki.ap.certificate),
      'tls-key-file',
      written('s.key', pki.ap.key),
      'tls-ca-cert-file',
      caFile,
    ],
    ['CONFIG', 'SET', 'port', '0', 'tls-port', String(tlsPort)],
  ]) {
    await server.command(...words)
  }
  const tls = { caFile, certificateFile: written('c.pem', client.certificate), keyFile: written('c.key', client.key) }
  const cli = ['--tls', '--cacert', tls.caFile, '--cert', tls.certificateFile, '--key', tls.keyFile]
  const answer = await server.command(...cli, 'ACL', 'SETUSER', 'proxy', 'on', `>${PASSWORD}`, ...ACL.split(' '))
  assert.equal(answer, 'OK')
  assert.equal(await server.command(...cli, 'ACL', 'SETUSER', 'default', 'off'), 'OK')
  return { tls, nodes: [`localhost:${tlsPort}`] as const }
}

describe('a guarded Redis', () => {
  peerTest('serves over TLS, with a certificate, one ACL user that may do little else', REDIS_PROGRAMS, async (t) => {
    const { tls, nodes } = await guarded(t)
    const passwordFile = written('password', `${PASSWORD}\n`)
    const host = await aHost({ mode: 'standalone', nodes, tls, username: 'proxy', passwordFile })
    t.after(() => host.close())
    const bootstrap = aBootstrap(1, { createdAt: Date.now(), expiresAt: Date.now() + 60_000 })
    await host.bootstraps.put(bootstrap)
    assert.ok(await host.bootstraps.find(bootstrap.btid, Date.now()))
    await host.bootstraps.remove(bootstrap.btid)
    const nonce = aFreshNonce()
    await until(async () => (await host.ledger.use(aFreshNonce(), 1, Date.now())) === 'accepted')
    assert.equal(await host.ledger.use({ ...nonce, mintedAt: Date.now() }, 1, Date.now()), 'accepted')
    assert.deepEqual(host.problems, [])
  })

  peerTest('that refuses our password is reported without it', REDIS_PROGRAMS, async (t) => {
    const { tls, nodes } = await guarded(t)
    const wrong = 'wrong horse battery staple'
    const passwordFile = written('password', wrong)
    const host = await aHost({ mode: 'standalone', nodes, tls, username: 'proxy', passwordFile })
    t.after(() => host.close())
    await until(async () => host.problems.length > 0)
    assert.ok(host.problems.every(isUnavailable))
    assert.equal(inspect(host.problems, { depth: 9, showHidden: true }).includes('horse'), false)
    await assert.rejects(host.ledger.use(aFreshNonce(), 1, Date.now()), (error) => {
      assert.equal(inspect(error, { depth: 9, showHidden: true }).includes('horse'), false)
      return isUnavailable(error)
    })
  })

  peerTest('of another CA is not spoken to', REDIS_PROGRAMS, async (t) => {
    const { tls, nodes } = await guarded(t)
    const { ca } = await makeLabPki({ names: { bsf: [], naf: [], znClients: [] }, now: Date.now(), validDays: 2 })
    const strange = { ...tls, caFile: written('ca.pem', ca.certificate) }
    const host = await aHost({ mode: 'standalone', nodes, tls: strange })
    t.after(() => host.close())
    await until(async () => host.problems.length > 0)
    await assert.rejects(host.ledger.use(aFreshNonce(), 1, Date.now()), isUnavailable)
  })
})

describe('options of a Redis', () => {
  const base = { mode: 'standalone', nodes: ['127.0.0.1:1'] } as const

  test('that make no sense are the caller’s bug', () => {
    for (const node of ['127.0.0.1', 'a b:1', ':1', 'host:99999', '::1:6379', 'redis://host:1']) {
      assert.throws(() => redisClient({ ...base, nodes: [node] }), RangeError)
    }
    assert.throws(() => redisClient({ ...base, mode: 'sentinel' }), RangeError)
    assert.throws(() => openRedis({ ...base, sealKeyFile: aSealKeyFile(), keyPrefix: 'gba{' }), RangeError)
  })

  test('that name files which are missing or open to others are refused', () => {
    assert.throws(() => redisClient({ ...base, passwordFile: '/nowhere' }), isUnavailable)
    assert.throws(() => redisClient({ ...base, passwordFile: written('password', 'x', 0o644) }), isUnavailable)
    assert.throws(() => redisClient({ ...base, tls: { caFile: '/nowhere' } }), isUnavailable)
    assert.throws(() => openRedis({ ...base, sealKeyFile: '/nowhere' }), isUnavailable)
  })
})
