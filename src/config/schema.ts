import type { Static } from '@sinclair/typebox'
import { Type } from '@sinclair/typebox'
import { adminSchema } from './schema/admin.ts'
import { apSchema } from './schema/ap.ts'
import { bsfSchema, hssSchema } from './schema/bsf.ts'
import { given, integer, integerOr, listen, live, OCTETS, oneOf, restart, section, textOr } from './schema/keys.ts'
import { processSchema } from './schema/process.ts'
import { storeSchema } from './schema/store.ts'
import { tracesSchema } from './schema/traces.ts'

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

/** The one definition of the configuration: types, validation, defaults and the table in README come from it. */
export const configSchema = given(
  'Configuration',
  'What one process does; each role section that is there is a role.',
  {
    log: restart(
      section('Log', 'What is written down about what happens.', {
        level: live(oneOf('Level', 'Least severity that is logged.', LOG_LEVELS, 'info')),
        identities: oneOf(
          'Identities',
          'hashed: identities appear as keyed hashes; clear: as they are, for labs only.',
          ['hashed', 'clear'],
          'hashed',
        ),
        auditFile: textOr(
          'file',
          'Audit file',
          'File for audit records, opened anew at SIGHUP; empty: standard output, with the log.',
          '',
        ),
        auditEveryNth: integer(
          'Audit sampling',
          'Of the requests that are let through, one in so many is recorded; refusals always are, of AP_OVERLOADED one a second.',
          [1, 1_000_000],
          1,
        ),
      }),
    ),
    workers: restart(
      integerOr(
        'auto',
        'Workers',
        'Processes that serve behind the same ports, one for each core with auto; limits are those of each.',
        [1, 64],
        1,
      ),
    ),
    process: restart(processSchema),
    admin: Type.Optional(restart(adminSchema)),
    traces: restart(tracesSchema),
    store: restart(storeSchema),
    hss: Type.Optional(hssSchema),
    bsf: Type.Optional(bsfSchema),
    ap: Type.Optional(apSchema),
    as: Type.Optional(
      restart(
        given('AS', 'Makes this process an XCAP server for the lab.', {
          ...listen(8085),
          xcapRoot: textOr('path-prefix', 'XCAP root', 'Path of the XCAP root; empty: the root is /.', ''),
          bodyBytes: integer('Body', 'Largest request body; a larger one gets 413.', OCTETS, 1_048_576),
        }),
      ),
    ),
  },
)

export const ROLES = ['ap', 'bsf', 'hss', 'as'] as const
export type Role = (typeof ROLES)[number]

type Frozen<Value> = Value extends string | number | boolean | undefined
  ? Value
  : { readonly [Key in keyof Value]: Frozen<Value[Key]> }

/** Parsed, completed by defaults, paths absolute, deeply frozen. */
export type Config = Frozen<Static<typeof configSchema>>
export type LogConfig = Config['log']
export type AdminConfig = NonNullable<Config['admin']>
export type StoreConfig = Config['store']
export type HssConfig = NonNullable<Config['hss']>
export type BsfConfig = NonNullable<Config['bsf']>
export type UbConfig = BsfConfig['ub']
export type ZnServerConfig = NonNullable<BsfConfig['zn']>
export type ZnNafConfig = ZnServerConfig['nafs'][number]
export type ApConfig = NonNullable<Config['ap']>
export type NafConfig = ApConfig['nafs'][number]
export type ZnClientConfig = ApConfig['zn']
export type ChallengeConfig = ApConfig['challenge']
export type LimitsConfig = ApConfig['limits']
export type AppServerConfig = ApConfig['appServers'][number]
export type RouteConfig = ApConfig['routes'][number]
export type AsConfig = NonNullable<Config['as']>
