import type { ApConfig } from '../config/schema.ts'
import type { ShownRoute } from './calls.ts'

/** The routes of a configuration, in the order in which they are tried, each with what it inherits. */
export const routesIn = ({ challenge, routes }: ApConfig): readonly ShownRoute[] =>
  routes.map((route) => {
    const { algorithms, lines, methods, qop, realms } = { ...challenge, ...route.challenge }
    return {
      host: route.host,
      pathPrefix: route.pathPrefix,
      appServer: route.appServer,
      methods: route.methods,
      doors: route.doors,
      challenge: { algorithms, qop, methods, realms, lines },
      maxKeyAgeS: route.maxKeyAgeS,
      gsids: route.gsids,
    }
  })
