import type { StageOptions } from './ap-stages.ts'
import type { ApConfig } from './config/schema.ts'
import type { Fqdn } from './core/identity.ts'
import { UA_HTTP_DIGEST } from './core/naf-id.ts'
import type { Secret } from './core/secret.ts'
import { tolerancesOf } from './core/tolerances.ts'
import type { Naf, Route } from './passage.ts'
import type { ChallengePolicy } from './ua/challenge.ts'
import type { OfferedAnywhere } from './ua/verify.ts'

export type ApPolicy = Pick<StageOptions, 'nafs' | 'routes' | 'appServers' | 'tolerances'>

/**
 * NAFs, routes, application servers and tolerances as the proxy uses them.
 * @param pseudonymKey  of the pairwise pseudonyms, 32 octets
 */
export function apPolicyOf(config: ApConfig, pseudonymKey: Secret): ApPolicy {
  const tolerances = tolerancesOf(config.tolerance)
  const appServers = config.appServers.map((server) => ({
    ...server,
    authority: new URL(server.url).host,
    pseudonymKey,
  }))
  const routes: Route[] = config.routes.map((route) => {
    const appServer = appServers.find(({ name }) => name === route.appServer)
    if (!appServer) throw new TypeError(`route to unknown application server ${route.appServer}`)
    return {
      host: route.host === '' ? undefined : route.host,
      pathPrefix: route.pathPrefix,
      appServer,
      methods: route.methods,
      doors: route.doors,
      challenge: challengeOf({ ...config.challenge, ...route.challenge }),
      maxKeyAgeS: route.maxKeyAgeS === 0 ? undefined : route.maxKeyAgeS,
      policy: {
        appServer: appServer.name,
        gsids: route.gsids,
        ...(tolerances.has('uss-id-is-type') && { gsTypes: route.gsTypes }),
        ownership: route.ownership,
        ownershipByAuid: Object.fromEntries(
          Object.entries(route.ownershipByAuid).map(([auid, ownership]) => [auid.toLowerCase(), ownership]),
        ),
        assert: appServer.assert,
        defaultIdentity: route.defaultIdentity,
      },
    }
  })
  const challenge = challengeOf(config.challenge)
  const nafs = config.nafs.map(({ fqdn, uaProtocolIds }): [Fqdn, Naf] => {
    const own = routesOf(fqdn, routes)
    const wanted = own.flatMap(({ policy: { gsids, gsTypes = [] } }) => [...gsids, ...gsTypes])
    const gsids = [...new Set(wanted)].sort((a, b) => a - b)
    const keyed = own.filter(({ doors }) => doors.includes('psk'))
    const methods = [...new Set(keyed.flatMap((route) => route.challenge.methods))]
    const anywhere = together([challenge, ...own.map((route) => route.challenge)])
    const psk = methods.length > 0 ? { challenge: { ...challenge, methods: nonEmpty(methods) }, gsids } : undefined
    return [fqdn, { uaProtocolIds, challenge, anywhere, gsids, psk }]
  })
  return { nafs: new Map(nafs), routes, appServers, tolerances }
}

const routesOf = (fqdn: Fqdn, routes: readonly Route[]): readonly Route[] =>
  routes.filter(({ host }) => host === undefined || host === fqdn)

function together(challenges: readonly ChallengePolicy[]): OfferedAnywhere {
  return {
    algorithms: nonEmpty([...new Set(challenges.flatMap(({ algorithms }) => algorithms))]),
    qop: nonEmpty([...new Set(challenges.flatMap(({ qop }) => qop))]),
  }
}

/**
 * The same for the listener without TLS: one identifier, one door, and the qualities of protection that are allowed
 * there. A route that wants bodies covered even within TLS wants it there too; one that is closed to bootstrapped keys
 * in Digest is closed.
 */
export function plainPolicyOf(policy: ApPolicy, qop: ChallengePolicy['qop']): ApPolicy {
  const plain = (challenge: ChallengePolicy): ChallengePolicy => ({
    ...challenge,
    qop: challenge.qop.includes('auth') ? qop : ['auth-int'],
  })
  const routes = policy.routes.map((route) => ({
    ...route,
    challenge: plain(route.challenge),
    doors: route.doors.filter((door) => door === 'digest'),
  }))
  return {
    ...policy,
    nafs: new Map(
      [...policy.nafs].map(([fqdn, naf]) => [
        fqdn,
        {
          ...naf,
          uaProtocolIds: [UA_HTTP_DIGEST],
          challenge: plain(naf.challenge),
          anywhere: together([plain(naf.challenge), ...routesOf(fqdn, routes).map((route) => route.challenge)]),
        },
      ]),
    ),
    routes,
  }
}

function challengeOf({ algorithms, qop, methods, realms, lines }: ApConfig['challenge']): ChallengePolicy {
  return { algorithms: nonEmpty(algorithms), qop: nonEmpty(qop), methods: nonEmpty(methods), realms, lines }
}

/** What validation has promised, told to the compiler. */
export function nonEmpty<Item>([first, ...more]: readonly Item[]): [Item, ...Item[]] {
  if (first === undefined) throw new TypeError('an empty list passed validation')
  return [first, ...more]
}
