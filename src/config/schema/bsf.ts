import { Type } from '@sinclair/typebox'
import {
  certificate,
  flag,
  given,
  integer,
  list,
  listen,
  live,
  oneOf,
  patience,
  rate,
  restart,
  SECONDS,
  section,
  text,
  textOr,
  trustedSources,
} from './keys.ts'

const gsid = integer('GSID', 'GAA service identifier.', [0, 4_294_967_295])

/** Who may ask over Zn, and for what. */
const naf = given('NAF', 'One NAF that may ask for keys.', {
  name: text('name', 'Name', 'What this NAF is called in logs.'),
  certificate: given('Client certificate', 'How the certificate of this NAF is known; all that is given has to fit.', {
    fingerprint256: textOr('fingerprint256', 'Fingerprint', 'SHA-256 fingerprint of the client certificate.', ''),
    san: textOr('fqdn', 'Alternative name', 'dNSName that the client certificate has to carry.', ''),
  }),
  fqdns: list('FQDNs', 'NAF host names for which it may have keys.', text('fqdn', 'FQDN', 'A NAF host name.'), 1),
  gsids: list('GSIDs', 'GAA services whose user security settings it may have.', gsid, 0, []),
  impi: flag('IMPI', 'Whether it is told the private identity of the subscriber.', false),
  nafGroups: list(
    'NAF groups',
    'Groups this NAF belongs to; a user security setting that names a group goes to its members only.',
    text('name', 'NAF group', 'Name of a NAF group.'),
    0,
    [],
  ),
})

export const bsfSchema = restart(
  given('BSF', 'Makes this process a bootstrapping server function.', {
    names: list(
      'Names',
      'Host names under which UEs address this BSF; the first stands in for a request that names none.',
      text('fqdn', 'FQDN', 'A BSF host name.'),
      1,
    ),
    keyLifetimeS: integer(
      'Key lifetime',
      'How long a bootstrapped key is good, unless the subscriber has a lifetime of its own.',
      SECONDS,
      43_200,
    ),
    challengeLifetimeS: integer(
      'Challenge lifetime',
      'How long a challenge on Ub waits for its answer.',
      [1, 3600],
      60,
    ),
    tmpi: flag('TMPI', 'Whether a UE may bootstrap again under its temporary private identity.', true),
    zh: section('Zh', 'Where authentication vectors come from.', {
      adapter: oneOf('Adapter', 'local: the hss section of this very process.', ['local'], 'local'),
    }),
    ub: section('Ub', 'The plain HTTP server on which UEs bootstrap.', {
      ...listen(8080),
      ...patience(10_000, 10_000),
      maxPendingChallenges: integer(
        'Pending challenges',
        'How many unanswered challenges are kept; beyond them Ub answers 503.',
        [1, 10_000_000],
        100_000,
      ),
      limits: live(
        section('Limits', 'How often vectors are drawn on Ub; beyond that it answers 429.', {
          perImpi: rate(
            'Per IMPI',
            'Challenges for one subscriber, of which one source may have half; as many again under its TMPI.',
            { burst: 10, perMinute: 10 },
          ),
          perSource: rate('Per source', 'Challenges for one IPv4 address or IPv6 /64.', { burst: 100, perMinute: 120 }),
          trustedSources: trustedSources(
            'Addresses and networks behind which many UEs are (fronts, NATs): not counted by source.',
          ),
          wrongResponseCost: integer(
            'Wrong response',
            'Challenges that a wrong response counts as, beside its own.',
            [0, 1000],
            5,
          ),
        }),
      ),
    }),
    zn: Type.Optional(
      given('Zn', 'The HTTPS server for NAFs in other processes; without this section there is none.', {
        ...listen(8444),
        tls: given('TLS', 'Certificates of the Zn server.', {
          ...certificate,
          clientCaFile: text('file', 'Client CA', 'PEM file with the CAs that issue the certificates of NAFs.'),
        }),
        ...patience(10_000, 10_000),
        nafs: live(list('NAFs', 'The NAFs that may ask; whoever is not listed gets nothing.', naf, 0, [])),
      }),
    ),
  }),
)

export const hssSchema = restart(
  given('HSS', 'Makes this process the HSS stub of its own BSF.', {
    subscribersFile: live(
      textOr(
        'file',
        'Subscribers',
        'YAML file with the subscribers and their keys, read again at a reload.',
        'subscribers.yaml',
      ),
    ),
    ind: integer(
      'IND',
      'Index part of the sequence numbers drawn for this BSF, so that others do not collide.',
      [0, 31],
      31,
    ),
  }),
)
