import { faultOfFixedHeader } from '../core/header-names.ts'
import { tolerancesOf } from '../core/tolerances.ts'
import { isLoopback } from './loopback.ts'
import { nearest, suggestion } from './nearest.ts'
import { type ApConfig, type BsfConfig, type Config, ROLES } from './schema.ts'
import type { Finding, KeyPath } from './validate.ts'

/** What no single key can show: references, roles that need one another, things that may exist once. */
export function crossChecks(config: Config): Finding[] {
  const { ap, bsf } = config
  return [
    ...store(config),
    ...workers(config),
    ...admin(config),
    ...traces(config),
    ...roles(config),
    ...(bsf ? bsfChecks(bsf) : []),
    ...(ap ? [...znClient(ap, bsf), ...appServers(ap), ...routes(ap), ...doors(ap, config), ...apNames(ap)] : []),
    ...listeners(config),
  ]
}

function roles({ ap, bsf, hss, as }: Config): Finding[] {
  const findings: Finding[] = []
  if (!ap && !bsf && !hss && !as) {
    findings.push({ path: [], detail: `names no role; give at least one of the sections ${ROLES.join(', ')}` })
  }
  if (bsf && !hss) {
    findings.push({ path: ['bsf', 'zh', 'adapter'], detail: 'local needs the hss section in this file' })
  }
  if (hss && !bsf) {
    findings.push({ path: ['hss'], detail: 'nobody can reach it; it serves the bsf section of this file' })
  }
  return findings
}

function store({ store: { kind, redis } }: Config): Finding[] {
  if (kind !== 'redis')
    return redis ? [{ path: ['store', 'redis'], detail: `is for kind: redis; here it is ${kind}` }] : []
  if (!redis) return [{ path: ['store', 'kind'], detail: 'redis needs the section store.redis' }]
  const findings: Finding[] = []
  const wants = (key: string, detail: string) => findings.push({ path: ['store', 'redis', key], detail })
  if (redis.mode === 'sentinel' && redis.sentinelName === '') wants('sentinelName', 'missing; mode sentinel needs it')
  if (redis.mode !== 'sentinel' && redis.sentinelName !== '') wants('sentinelName', 'is for mode sentinel')
  if (redis.username !== '' && redis.passwordFile === '') wants('passwordFile', 'missing; username goes with it')
  if (redis.tls && (redis.tls.certificateFile === '') !== (redis.tls.keyFile === '')) {
    wants('tls', 'certificateFile and keyFile go together; give both or neither')
  }
  return findings
}

/** What one process knows and its neighbours do not. */
function workers({ workers: count, store, ap }: Config): Finding[] {
  if (count === 1) return []
  const findings: Finding[] = []
  if (store.kind === 'memory') {
    findings.push({ path: ['workers'], detail: `${count} needs a store that processes share; store.kind is memory` })
  }
  const tolerated = ap && tolerancesOf(ap.tolerance)
  const refused = tolerated ? NC_TOLERANCES.filter((name) => !tolerated.has(name)) : []
  if (refused.length > 0) {
    const detail = `must be 1 where ap.tolerance refuses ${refused.join(', ')}: only one process sees how a UE counts`
    findings.push({ path: ['workers'], detail })
  }
  return findings
}

/** Deviations of a count from the one before, which another process may have seen. */
const NC_TOLERANCES = ['nc-not-reset', 'nc-out-of-order', 'nc-gap', 'nc-decimal'] as const

/** What the admin listener tells is for operators alone. */
function admin({ admin }: Config): Finding[] {
  if (!admin?.enabled || admin.tls || admin.insecurePlain || isLoopback(admin.host)) return []
  const detail = `${admin.host} is not loopback: give admin.tls, or set admin.insecurePlain`
  return [{ path: ['admin', 'host'], detail }]
}

function traces({ traces: { endpoint, caFile } }: Config): Finding[] {
  if (caFile === '' || endpoint.startsWith('https:')) return []
  return [{ path: ['traces', 'caFile'], detail: 'is for an https endpoint' }]
}

function bsfChecks({ ub, zn }: BsfConfig): Finding[] {
  const findings = patience(['bsf', 'ub'], ub)
  if (!zn) return findings
  findings.push(...patience(['bsf', 'zn'], zn))
  findings.push(...twice(['bsf', 'zn', 'nafs'], 'name', zn.nafs))
  for (const [i, { certificate }] of zn.nafs.entries()) {
    const path = ['bsf', 'zn', 'nafs', i, 'certificate']
    const { fingerprint256, san } = certificate
    if (fingerprint256 === '' && san === '') {
      findings.push({ path, detail: 'give fingerprint256, san or both; an entry for any certificate is refused' })
    }
    const before = zn.nafs.slice(0, i).find((other) => {
      const its = other.certificate
      return fingerprint256 === '' ? its.san === san : its.fingerprint256 === fingerprint256 && its.san === san
    })
    if (before) findings.push({ path, detail: `already stands for ${before.name}` })
  }
  return findings
}

function znClient({ zn, tls }: ApConfig, bsf: BsfConfig | undefined): Finding[] {
  const own = ['url', 'caFile', 'certificateFile', 'keyFile'] as const
  const path = (key: string): KeyPath => ['ap', 'zn', key]
  if (zn.adapter === 'local') {
    const odd = own.filter((key) => zn[key] !== '')
    return [
      ...(bsf
        ? []
        : [{ path: path('adapter'), detail: 'local needs the bsf section in this file; else set it to http' }]),
      ...odd.map((key) => ({ path: path(key), detail: 'is for the adapter http; the adapter here is local' })),
    ]
  }
  const findings = own
    .filter((key) => zn[key] === '')
    .map((key) => ({ path: path(key), detail: 'missing; the adapter http needs it' }))
  if (zn.url !== '' && !zn.url.startsWith('https:')) {
    findings.push({ path: path('url'), detail: 'must be https; keys travel over it' })
  }
  if (zn.keyFile !== '' && zn.keyFile === tls.keyFile) {
    findings.push({ path: path('keyFile'), detail: 'is the key of ap.tls; Zn wants a client certificate of its own' })
  }
  return findings
}

const PLAIN_ROOT = /^(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*\/?$/

function appServers(ap: ApConfig): Finding[] {
  return ap.appServers.flatMap((server, i) => {
    const at = (...keys: string[]): KeyPath => ['ap', 'appServers', i, ...keys]
    const { fixedHeaders, trust, pseudonym, url, caFile, certificateFile, keyFile, servername } = server
    const findings: Finding[] = []
    const seen = new Set<string>()
    for (const [name, value] of Object.entries(fixedHeaders)) {
      const fault = seen.has(name.toLowerCase()) ? 'is there twice' : faultOfFixedHeader(name, value)
      if (fault !== undefined) findings.push({ path: at('fixedHeaders', name), detail: fault })
      seen.add(name.toLowerCase())
    }
    for (const root of ['xcapRoot', 'upstreamRoot'] as const) {
      if (!PLAIN_ROOT.test(server[root])) {
        findings.push({ path: at(root), detail: 'takes letters, digits, hyphens, underscores and dots only' })
      }
    }
    if (pseudonym === 'pairwise' && trust === 'internal') {
      findings.push({ path: at('pseudonym'), detail: 'pairwise is for a server with trust: external' })
    }
    for (const [j, other] of server.moreUrls.entries()) {
      if (new URL(other).protocol !== new URL(url).protocol) {
        findings.push({ path: [...at('moreUrls'), j], detail: `must have the scheme of url, ${url}` })
      }
      if ([url, ...server.moreUrls.slice(0, j)].includes(other)) {
        findings.push({ path: [...at('moreUrls'), j], detail: `${other} comes twice` })
      }
    }
    if (url.startsWith('http:')) {
      const odd = Object.entries({ caFile, certificateFile, keyFile, servername }).filter(([, value]) => value !== '')
      findings.push(...odd.map(([key]) => ({ path: at(key), detail: 'is for an https url' })))
    } else if ((certificateFile === '') !== (keyFile === '')) {
      findings.push({ path: at('keyFile'), detail: 'goes with certificateFile; give both or neither' })
    }
    return findings
  })
}

function routes(ap: ApConfig): Finding[] {
  const names = ap.appServers.map(({ name }) => name)
  const fqdns = ap.nafs.map(({ fqdn }) => fqdn as string)
  const findings: Finding[] = []
  for (const [i, route] of ap.routes.entries()) {
    if (!names.includes(route.appServer)) {
      const hint =
        suggestion(nearest(route.appServer, names)) || `; there ${names.length > 1 ? 'are' : 'is'} ${names.join(', ')}`
      findings.push({
        path: ['ap', 'routes', i, 'appServer'],
        detail: `no application server ${route.appServer}${hint}`,
      })
    }
    if (route.host !== '' && !fqdns.includes(route.host)) {
      const hint = suggestion(nearest(route.host, fqdns))
      findings.push({ path: ['ap', 'routes', i, 'host'], detail: `${route.host} is not among ap.nafs${hint}` })
    }
    if (route.maxKeyAgeS > 0 && route.maxKeyAgeS < 60) {
      findings.push({ path: ['ap', 'routes', i, 'maxKeyAgeS'], detail: 'must be 0, or at least 60' })
    }
    const shadow = ap.routes.slice(0, i).findIndex((earlier) => covers(earlier, route))
    if (shadow >= 0) {
      findings.push({
        path: ['ap', 'routes', i],
        detail: `never reached; ap.routes[${shadow}] takes all of its requests`,
      })
    }
  }
  return findings
}

/** A door that a route opens has to be there. */
function doors(ap: ApConfig, { bsf, hss }: Config): Finding[] {
  const findings: Finding[] = []
  const missing = (i: number, door: string, detail: string) =>
    findings.push({ path: ['ap', 'routes', i, 'doors'], detail: `${door} ${detail}` })
  for (const [i, { doors: opened }] of ap.routes.entries()) {
    if (opened.includes('certificate') && !ap.subscriberCertificates) {
      missing(i, 'certificate', 'needs the section ap.subscriberCertificates')
    }
    if (opened.includes('password') && ap.subscribersFile === '') missing(i, 'password', 'needs ap.subscribersFile')
  }
  const settings = ap.subscriberCertificates?.settings
  const path = ['ap', 'subscriberCertificates', 'settings']
  if (settings === 'file' && ap.subscribersFile === '') {
    findings.push({ path, detail: 'file needs ap.subscribersFile' })
  }
  if (settings === 'bsf' && !(bsf && hss)) findings.push({ path, detail: 'bsf needs bsf and hss in this file' })
  const fqdns: readonly string[] = ap.nafs.map(({ fqdn }) => fqdn)
  for (const [i, fqdn] of (ap.tlsUpgrade?.nafs ?? []).entries()) {
    if (!fqdns.includes(fqdn))
      findings.push({ path: ['ap', 'tlsUpgrade', 'nafs', i], detail: `${fqdn} is not among ap.nafs` })
  }
  if (ap.front?.tls === 'through' && ap.front.tells === 'headers') {
    findings.push({ path: ['ap', 'front', 'tells'], detail: 'a front that passes TLS on can only tell by proxy-v2' })
  }
  return findings
}

type Reach = Pick<ApConfig['routes'][number], 'host' | 'pathPrefix'>

function covers(earlier: Reach, later: Reach): boolean {
  const prefix = earlier.pathPrefix.replace(/\/$/, '')
  const path = later.pathPrefix.replace(/\/$/, '')
  return (earlier.host === '' || earlier.host === later.host) && (path === prefix || path.startsWith(`${prefix}/`))
}

function apNames(ap: ApConfig): Finding[] {
  return [
    ...twice(['ap', 'nafs'], 'fqdn', ap.nafs),
    ...twice(['ap', 'appServers'], 'name', ap.appServers),
    ...patience(['ap', 'limits'], ap.limits),
  ]
}

function listeners({ admin, ap, bsf, as }: Config): Finding[] {
  const all: [KeyPath, { host: string; port: number } | undefined][] = [
    [['bsf', 'ub', 'port'], bsf?.ub],
    [['bsf', 'zn', 'port'], bsf?.zn],
    [['ap', 'port'], ap],
    [['ap', 'front', 'port'], ap?.front],
    [['ap', 'tlsUpgrade', 'port'], ap?.tlsUpgrade],
    [['ap', 'insecurePlainUa', 'port'], ap?.insecurePlainUa],
    [['as', 'port'], as],
    [['admin', 'port'], admin?.enabled ? admin : undefined],
  ]
  const taken = new Map<string, KeyPath>()
  const findings: Finding[] = []
  for (const [path, listener] of all) {
    if (!listener || listener.port === 0) continue
    const address = `${listener.host} port ${listener.port}`
    if (taken.has(address))
      findings.push({ path, detail: `${address} is already taken by ${taken.get(address)?.join('.')}` })
    taken.set(address, path)
  }
  return findings
}

/** Node's server insists on it, too, but only when it starts. */
function patience(path: KeyPath, at: { headersTimeoutMs: number; requestTimeoutMs: number }): Finding[] {
  if (at.headersTimeoutMs <= at.requestTimeoutMs) return []
  return [{ path: [...path, 'headersTimeoutMs'], detail: 'must not be longer than requestTimeoutMs' }]
}

function twice<Key extends string>(
  path: KeyPath,
  key: Key,
  items: readonly Readonly<Record<Key, string>>[],
): Finding[] {
  return items.flatMap((item, i) =>
    items.findIndex((other) => other[key] === item[key]) === i
      ? []
      : [{ path: [...path, i, key], detail: `${item[key]} comes twice` }],
  )
}
