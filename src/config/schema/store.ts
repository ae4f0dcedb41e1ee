import { Type } from '@sinclair/typebox'
import { given, integer, list, oneOf, section, text, textOr } from './keys.ts'

const redis = given('Redis', 'State that several hosts share; for kind: redis.', {
  mode: oneOf(
    'Mode',
    'standalone: the first node is the server; sentinel: the nodes are Sentinels; cluster: some nodes of the cluster.',
    ['standalone', 'sentinel', 'cluster'],
    'standalone',
  ),
  nodes: list('Nodes', 'Where they are.', text('host-port', 'Node', 'host:port; an IPv6 address in brackets.'), 1, [
    '127.0.0.1:6379',
  ]),
  sentinelName: textOr('name', 'Sentinel name', 'Name under which the Sentinels know the master; for sentinel.', ''),
  username: textOr('name', 'User', "ACL user; empty: Redis' default.", ''),
  passwordFile: textOr('file', 'Password', 'File of mode 0600 with the password alone; empty: none.', ''),
  sentinelUsername: textOr('name', 'User at the Sentinels', 'As username, for the Sentinels.', ''),
  sentinelPasswordFile: textOr('file', 'Password at the Sentinels', 'As passwordFile, for the Sentinels.', ''),
  tls: Type.Optional(
    given('TLS', 'Connections to Redis are TLS; without this section they are not.', {
      caFile: textOr('file', 'CA', 'PEM file with the CAs of the servers; empty: those that Node.js trusts.', ''),
      certificateFile: textOr('file', 'Certificate', 'PEM file with our client certificate.', ''),
      keyFile: textOr('file', 'Private key', 'PEM file with the private key of that certificate.', ''),
    }),
  ),
  keysDirectory: text(
    'file',
    'Keys',
    "Folder with the keys that all hosts share, the same on each; 'gba-proxy keys' makes them.",
  ),
  keyPrefix: textOr('key-prefix', 'Key prefix', 'What every key in Redis begins with.', 'gba:'),
  commandTimeoutMs: integer('Timeout', 'Time Redis has for a command; past it the answer is 503.', [10, 60_000], 500),
  connectTimeoutMs: integer('Connect timeout', 'Time Redis has to accept a connection.', [10, 60_000], 1000),
  minReplicas: integer(
    'Replicas',
    'How many replicas must have a write before it counts; -1: 0 for standalone, else 1.',
    [-1, 16],
    -1,
  ),
})

export const storeSchema = section('Store', 'Where state is kept.', {
  kind: oneOf(
    'Kind',
    'lmdb: survives restarts, shared by the processes of a host; redis: shared by hosts; memory: lost at exit.',
    ['lmdb', 'redis', 'memory'],
    'lmdb',
  ),
  directory: textOr('file', 'Directory', 'Folder of the lmdb store.', './state'),
  maxNonces: integer(
    'Nonces',
    'Most used nonces that are remembered, by all who share the store; the UE of one that goes gets one 401 with stale=true.',
    [1000, 1_000_000_000],
    1_000_000,
  ),
  redis: Type.Optional(redis),
})
