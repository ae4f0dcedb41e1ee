import type { Config } from '../config/schema.ts'
import { type Logger, withoutRedaction } from '../observe/log.ts'
import type { AdminAnswer, AdminDesk } from './calls.ts'
import { routesIn } from './routes.ts'

/**
 * The desk of a process that has others serve: it knows the configuration, and neither store nor decisions. Its records
 * are in the log.
 * @param config  that of now
 */
export function supervisorDesk(config: () => Config, log: Logger): AdminDesk {
  const bare = withoutRedaction(log)
  return {
    async answer({ ask }) {
      const { ap } = config()
      return ask === 'routes' && ap ? { status: 200, body: { routes: routesIn(ap) } } : OF_WORKERS
    },
    follow: () => () => {},
    record: (record) => bare.info(record, 'admin.called'),
  }
}

const OF_WORKERS: AdminAnswer = { status: 501, detail: 'with several workers, routes alone are told here' }
