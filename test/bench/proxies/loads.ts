import type { Document, Peer } from './servers.ts'

interface Named {
  readonly name: string
  readonly peers: readonly Peer[]
}

/** What is measured, in the order of the table. */
export type Load = Named &
  (
    | {
        readonly kind: 'kept'
        readonly method: 'GET' | 'PUT'
        readonly document: Document
        readonly connections: number
      }
    | { readonly kind: 'half'; readonly connections: number }
    | { readonly kind: 'curl'; readonly keyType: 'p256' | 'rsa'; readonly resumed: boolean }
    | { readonly kind: 'psk'; readonly version: '1.2' | '1.3' }
    | { readonly kind: 'bootstrap' }
  )

const ALL: readonly Peer[] = ['gba-proxy', 'before', 'apache', 'nginx', 'static']
const PROXIES: readonly Peer[] = ['gba-proxy', 'before', 'apache', 'nginx']
const OURS: readonly Peer[] = ['gba-proxy', 'before']

const get = (size: string, document: Document, connections: number): Load => ({
  kind: 'kept',
  name: `GET ${size}, ${connections} kept`,
  peers: ALL,
  method: 'GET',
  document,
  connections,
})
const curl = (keyType: 'p256' | 'rsa', resumed: boolean): Load => ({
  kind: 'curl',
  name: `connect, 401, 200, close; ${keyType === 'rsa' ? 'RSA-2048' : 'P-256'}, ${resumed ? 'resumed' : 'full'}`,
  peers: PROXIES,
  keyType,
  resumed,
})

/** The load whose rate without pauses is saturation. */
export const SATURATION = 'GET 1.5 KB, 64 kept'

export const LOADS: readonly Load[] = [
  get('1.5 KB', 'small', 1),
  get('1.5 KB', 'small', 16),
  get('1.5 KB', 'small', 64),
  get('1.5 KB', 'small', 256),
  get('64 KB', 'medium', 64),
  get('1 MB', 'large', 16),
  { kind: 'kept', name: 'PUT 1.5 KB, 64 kept', peers: ALL, method: 'PUT', document: 'small', connections: 64 },
  { kind: 'half', name: 'GET 1.5 KB at half of saturation', peers: PROXIES, connections: 64 },
  curl('p256', false),
  curl('p256', true),
  curl('rsa', false),
  { kind: 'psk', name: 'connect with PSK, 200, close; TLS 1.3', peers: OURS, version: '1.3' },
  { kind: 'psk', name: 'connect with PSK, 200, close; TLS 1.2', peers: OURS, version: '1.2' },
  { kind: 'bootstrap', name: 'bootstrap on Ub', peers: OURS },
]
