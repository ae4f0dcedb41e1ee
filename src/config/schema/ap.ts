import { Type } from '@sinclair/typebox'
import { TOLERANCE_NAMES } from '../../core/tolerances.ts'
import {
  certificate,
  flag,
  given,
  integer,
  list,
  listen,
  live,
  MILLISECONDS,
  OCTETS,
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

const OWNERSHIP = ['owner', 'owner-write', 'as-decides'] as const
const ownership = (title: string, description: string, byDefault?: (typeof OWNERSHIP)[number]) =>
  oneOf(title, description, OWNERSHIP, byDefault)

const naf = given('NAF', 'One host name that UEs address.', {
  fqdn: text('fqdn', 'FQDN', 'Host name of the NAF; its certificate has to carry it.'),
  uaProtocolIds: list(
    'Ua security protocol identifiers',
    'Identifiers tried for the NAF_Id, in this order; tls-suite is 010001yyzz of the connection.',
    text('ua-protocol-id', 'Identifier', 'tls-suite, or ten hexadecimal digits.'),
    1,
    ['tls-suite', '0100000002'],
  ),
})

const zn = section('Zn', 'Where the keys come from.', {
  adapter: oneOf(
    'Adapter',
    'local: the bsf section of this very process; http: a BSF elsewhere.',
    ['local', 'http'],
    'local',
  ),
  url: textOr('url', 'URL', 'Where the BSF serves Zn; for http only.', ''),
  caFile: textOr('file', 'CA', 'PEM file with the CAs that issue the certificate of the BSF; for http only.', ''),
  certificateFile: textOr('file', 'Certificate', 'PEM file with our client certificate; for http only.', ''),
  keyFile: textOr('file', 'Private key', 'PEM file with the private key of that certificate; for http only.', ''),
  timeoutMs: integer('Timeout', 'Time the BSF has for an answer; past it the UE gets 503.', MILLISECONDS, 1500),
  unknownBtidCacheS: integer('Unknown B-TID cache', 'How long an unknown B-TID is remembered as such.', [0, 3600], 5),
  ussMaxAgeS: integer(
    'USS age',
    'How long keys and user security settings are used before the BSF is asked anew.',
    SECONDS,
    3600,
  ),
  maxPerSource: integer(
    'Questions of one source',
    'Most keys asked for at a time for UEs at one address, those of ap.limits.failures.trustedSources excepted; more get 429.',
    [1, 10_000],
    8,
  ),
  maxEntries: integer(
    'Entries',
    'How many keys are kept; the ones unused for longest go first.',
    [1, 10_000_000],
    100_000,
  ),
  shared: flag(
    'Shared',
    'Whether keys are kept, sealed, in the store as well, for the other hosts (redis) or processes (lmdb) that share it; for http only.',
    true,
  ),
})

const algorithm = oneOf('Algorithm', 'A Digest algorithm.', [
  'MD5',
  'MD5-sess',
  'SHA-256',
  'SHA-256-sess',
  'SHA-512-256',
  'SHA-512-256-sess',
])
const qop = oneOf('Quality', 'A quality of protection.', ['auth', 'auth-int'])
const method = oneOf('Method', 'A way to bootstrap.', ['gba-me', 'gba-u', 'gba-digest'])

/** The form of a challenge; without defaults where a route overrides it. */
const challengeForm = (byDefault: boolean) => ({
  algorithms: list(
    'Algorithms',
    'Digest algorithms offered, a challenge each, in this order.',
    algorithm,
    1,
    byDefault ? ['MD5'] : undefined,
  ),
  qop: list(
    'Quality of protection',
    'Offered in each challenge; auth-int covers the body and makes the AP hold the whole answer; some UEs read no list.',
    qop,
    1,
    byDefault ? ['auth'] : undefined,
  ),
  methods: list(
    'Methods',
    'Bootstrapped keys accepted: gba-me (Ks_NAF, Ks_ext_NAF), gba-u (Ks_int_NAF), gba-digest; in order of preference.',
    method,
    1,
    byDefault ? ['gba-me'] : undefined,
  ),
  realms: oneOf(
    'Realms',
    'joined: several methods in the realm of one challenge; separate: a challenge for each.',
    ['joined', 'separate'],
    byDefault ? 'joined' : undefined,
  ),
  lines: oneOf(
    'Lines',
    'separate: a header line for each challenge; joined: all challenges in one line.',
    ['separate', 'joined'],
    byDefault ? 'separate' : undefined,
  ),
})

const challenge = live(
  section('Challenge', 'What the AP asks of a UE on Ua.', {
    ...challengeForm(true),
    // What the record of used nonces has let go of must not become good again.
    nonceLifetimeS: restart(
      integer(
        'Nonce lifetime',
        'How long a nonce is good; its nonce count stops replays, not its age.',
        SECONDS,
        43_200,
      ),
    ),
    nonceKeyFile: restart(
      textOr(
        'file',
        'Nonce key',
        'File with the key that signs nonces, shared by all APs; empty: one of our own, kept in the store.',
        '',
      ),
    ),
    requireToken: flag(
      'Require the token',
      'Whether a request without a 3gpp-gba token in User-Agent gets 403 instead of a challenge.',
      false,
    ),
  }),
)

const toleranceName = oneOf('Tolerance', 'Name of a tolerated deviation.', TOLERANCE_NAMES)
const tolerance = section('Tolerance', 'Which deviations of real UEs are accepted.', {
  profile: oneOf(
    'Profile',
    'tolerant: every named deviation; strict: none, for testing UEs.',
    ['tolerant', 'strict'],
    'tolerant',
  ),
  allow: list('Allow', 'Deviations accepted whatever the profile says.', toleranceName, 0, []),
  refuse: list('Refuse', 'Deviations refused whatever the profile says.', toleranceName, 0, []),
})

const plainUa = given(
  'Plain Ua',
  'Weakens security: Ua without TLS, for conformance set-ups only (TS 34.229); identifier 0100000002.',
  {
    ...listen(8081),
    qop: list('Quality of protection', 'Offered there; auth leaves bodies unprotected.', qop, 1, ['auth-int']),
  },
)

const DOORS = ['psk', 'certificate', 'digest', 'password'] as const

const tls = given('TLS', 'Certificates that UEs see, and the suites they are offered.', {
  ...certificate,
  ocspFile: textOr('file', 'OCSP answer', 'DER file with an OCSP answer that is stapled to that certificate.', ''),
  certificates: list(
    'Further certificates',
    'Chosen by the name the UE asks for (SNI), among the dNSNames they carry.',
    given('Certificate', 'A further certificate.', {
      ...certificate,
      ocspFile: textOr('file', 'OCSP answer', 'DER file with an OCSP answer that is stapled to it.', ''),
    }),
    0,
    [],
  ),
  profile: oneOf(
    'Profile',
    '3gpp: every AEAD suite with ephemeral keys; android: those of them that AOSP lists.',
    ['3gpp', 'android'],
    'android',
  ),
  sessionTimeoutS: integer(
    'Session timeout',
    'How long a TLS session resumes, never longer than a key is good; a resumed one authenticates nobody.',
    [1, 86_400],
    3600,
  ),
})

const subscriberCertificates = given(
  'Subscriber certificates',
  'Makes the AP ask UEs for a certificate, for routes with the door certificate.',
  {
    caFile: text('file', 'CA', 'PEM file with the CAs that issue certificates of subscribers.'),
    crlFile: textOr(
      'file',
      'CRL',
      'PEM file with a CRL of each of those CAs, read again when it changes; an expired one refuses all.',
      '',
    ),
    settings: live(
      oneOf(
        'Settings',
        'Who the holder is, where ap.subscribersFile does not say: certificate, the URIs in its SAN; bsf: what the HSS of this process has for them; file: nobody.',
        ['certificate', 'bsf', 'file'],
        'certificate',
      ),
    ),
  },
)

const tlsUpgrade = given(
  'TLS upgrade',
  'A plain listener that serves nothing in clear (RFC 2817); TS 33.210 wants UEs to come by https at once.',
  {
    ...listen(8082),
    mode: oneOf(
      'Mode',
      'upgrade: 426, and 101 for a UE that upgrades; redirect: 308 to https.',
      ['upgrade', 'redirect'],
      'upgrade',
    ),
    httpsPort: integer('HTTPS port', 'Port that a redirect names.', [1, 65_535], 443),
    nafs: list(
      'NAFs',
      'Host names served there; empty: all of ap.nafs. UEs that begin with TLS are best under other names.',
      text('fqdn', 'FQDN', 'One of ap.nafs.'),
      0,
      [],
    ),
  },
)

const front = given('Front', 'A further listener, for a TLS front: HAProxy, nginx or a balancer.', {
  ...listen(8445),
  addresses: list(
    'Addresses',
    'IP addresses or networks (CIDR) of the fronts; who comes from elsewhere is cut off.',
    text('network', 'Address', 'IP address or network.'),
    1,
  ),
  tells: oneOf(
    'Tells',
    'How the front says who the client is: PROXY protocol v2 before each connection, or headers in each request.',
    ['proxy-v2', 'headers'],
    'proxy-v2',
  ),
  tls: oneOf(
    'TLS',
    'front: it ends TLS and speaks HTTP to the AP; through: it passes TLS on, and the AP ends it (proxy-v2 only).',
    ['front', 'through'],
    'front',
  ),
  headers: section('Headers', 'Names of the headers with what the front knows; for headers only.', {
    client: textOr('header-name', 'Client', 'IP address of the client; the last of a list counts.', 'X-Forwarded-For'),
    serverName: textOr('header-name', 'Server name', 'Name the client asked for (SNI).', 'X-SSL-SNI'),
    suite: textOr('header-name', 'Cipher suite', 'Suite of its TLS connection, in any usual spelling.', 'X-SSL-Cipher'),
  }),
})

const accessLog = section('Access log', 'Tells each user who touched, or tried to touch, its documents.', {
  enabled: flag(
    'Enabled',
    'Whether the log is kept, and read by its owner at internal.gba-proxy.access-log/users/<XUI>/index.',
    true,
  ),
  entriesPerOwner: integer(
    'Entries',
    'Most entries kept for one user; refused tries take half of them at most.',
    [2, 10_000],
    200,
  ),
  maxOwners: integer(
    'Owners',
    'Most users whose log is kept; the ones touched least recently go first.',
    [1, 10_000_000],
    100_000,
  ),
  retentionS: integer('Retention', 'How long an entry is kept.', SECONDS, 2_592_000),
})

const limits = section('Limits', 'What one client may take.', {
  bodyBytes: integer('Body', 'Largest request body; a larger one gets 413.', OCTETS, 1_048_576),
  headerBytes: integer('Header size', 'Largest request header; a larger one gets 431.', [1024, 1_048_576], 16_384),
  headerCount: live(integer('Header count', 'Most header fields in a request; more get 431.', [8, 1000], 100)),
  ...patience(10_000, 30_000),
  keepAliveTimeoutMs: integer(
    'Idle timeout',
    'How long a connection may wait for its next request.',
    MILLISECONDS,
    65_000,
  ),
  authIntAnswerBytes: live(
    integer(
      'Answer under auth-int',
      'Largest answer that can be covered by auth-int; a larger one gets 502.',
      OCTETS,
      1_048_576,
    ),
  ),
  connections: integer(
    'Connections',
    'Most connections open at a time; more are closed at once.',
    [1, 1_000_000],
    10_000,
  ),
  inFlight: live(
    integer(
      'In flight',
      'Most requests under way in one process, those whose body is still to come excepted; more get 503 at once.',
      [1, 1_000_000],
      1000,
    ),
  ),
  maxLoopDelayMs: live(
    integer(
      'Loop delay',
      'Longest wait of a request for the process to be served; others get 503, at once where all have waited so long, at three times that at the latest; none while fewer than 16 wait; 0: any.',
      [0, 60_000],
      400,
    ),
  ),
  failures: live(
    section('Failures', 'How often wrong responses and unknown B-TIDs are answered; beyond that it is 429.', {
      perIdentity: rate('Per identity', 'For one B-TID or username, from one source.', { burst: 10, perMinute: 10 }),
      perUsername: rate('Per username', 'For one username with a password, from all sources.', {
        burst: 50,
        perMinute: 10,
      }),
      perSource: rate('Per source', 'For one IPv4 address or IPv6 /64.', { burst: 300, perMinute: 300 }),
      trustedSources: trustedSources(
        'Addresses and networks behind which many UEs are (fronts, NATs): not counted by source.',
      ),
    }),
  ),
})

const breaker = section('Breaker', 'When an address of the server is left alone, after which one request tries it.', {
  failures: integer(
    'Failures',
    'So many requests in a row without a connection or an answer in time; what is answered is no failure.',
    [1, 10_000],
    20,
  ),
  openMs: integer('Open', 'How long it is left alone; with no other address UEs get 503 at once.', MILLISECONDS, 2000),
  gatewayStatuses: flag('Gateway statuses', 'Whether 502, 503 and 504 of the server are failures, too.', false),
})

const health = given('Health', 'Makes each address be asked after its health, beside what users send.', {
  path: text('path-prefix', 'Path', 'Asked by GET, without any identity.'),
  intervalMs: integer('Interval', 'Time between two checks of one address.', [100, 3_600_000], 5000),
  timeoutMs: integer('Timeout', 'Time it has for an answer.', MILLISECONDS, 2000),
  expectStatus: integer('Status', 'Of an address that is well.', [200, 599], 200),
  failures: integer('Failures', 'So many other answers in a row, or none, and it is left alone.', [1, 100], 2),
})

const appServer = given('Application server', 'One server behind the AP.', {
  name: text('name', 'Name', 'What routes and logs call it.'),
  url: text('origin', 'URL', 'Where it listens: scheme, host and port.'),
  moreUrls: list(
    'Further URLs',
    'Further addresses of the same server, with the scheme of url; its name in a Host header remains that of url.',
    text('origin', 'URL', 'Scheme, host and port.'),
    0,
    [],
  ),
  balance: oneOf(
    'Balance',
    'least-load: the address with the fewest requests under way; hash: the same one for all documents of one user.',
    ['least-load', 'hash'],
    'least-load',
  ),
  slowStartMs: integer(
    'Slow start',
    'Of several addresses: how long one that came back takes to its whole share; 0: none.',
    [0, 3_600_000],
    10_000,
  ),
  breaker,
  health: Type.Optional(health),
  xcapRoot: textOr(
    'path-prefix',
    'XCAP root',
    'Path of the XCAP root in the request target; empty: the root is /.',
    '',
  ),
  identityHeader: list(
    'Identity headers',
    'Headers in which it is told who the subscriber is.',
    oneOf('Header', 'An identity header.', [
      'X-3GPP-Asserted-Identity',
      'X-XCAP-Asserted-Identity',
      'P-Asserted-Identity',
    ]),
    1,
    ['X-3GPP-Asserted-Identity'],
  ),
  identityQuoted: flag('Quoted identity', 'Whether identities stand in quotation marks.', true),
  assert: oneOf(
    'Assert',
    'one: the intended or default identity; all: every identity the subscriber may use.',
    ['one', 'all'],
    'one',
  ),
  trust: oneOf(
    'Trust',
    'internal: within the trust domain; external: it learns no more of a subscriber than it is told.',
    ['internal', 'external'],
    'internal',
  ),
  pseudonym: oneOf(
    'Pseudonym',
    'For an external server; pairwise: a name of the subscriber that no other server knows.',
    ['none', 'pairwise'],
    'none',
  ),
  pseudonymDomain: textOr('fqdn', 'Pseudonym domain', 'Host in the pairwise pseudonyms.', 'pseudonym.invalid'),
  fixedHeaders: Type.Record(
    Type.String({ pattern: '^[A-Za-z0-9-]+$' }),
    Type.String({ title: 'Fixed header', description: 'Value of the header.' }),
    {
      additionalProperties: false,
      title: 'Fixed headers',
      description: "Headers added to every request, in the place of the UE's.",
      default: {},
    },
  ),
  forwardIntendedIdentity: flag(
    'Intended identity',
    'Whether it also gets the verified X-3GPP-Intended-Identity.',
    false,
  ),
  upstreamRoot: textOr(
    'path-prefix',
    'Upstream root',
    'Path of the XCAP root at this server; empty: as xcapRoot; /: none.',
    '',
  ),
  caFile: textOr(
    'file',
    'CA',
    'PEM file with the CAs that issue its certificate; empty: those that Node.js trusts.',
    '',
  ),
  certificateFile: textOr('file', 'Certificate', 'PEM file with our client certificate towards it.', ''),
  keyFile: textOr('file', 'Private key', 'PEM file with the private key of that certificate.', ''),
  servername: textOr('fqdn', 'Server name', 'Name its certificate has to carry; empty: the host of url.', ''),
  authorisationFlags: flag('Authorisation flags', 'Whether it gets X-3GPP-Authorization-Flags.', true),
  hostHeader: oneOf(
    'Host header',
    'preserve: the host the UE addressed; upstream: the one of url.',
    ['preserve', 'upstream'],
    'preserve',
  ),
  traceparent: oneOf(
    'Traceparent',
    'Whether it is told of traces; default: as traces.toAppServers says, and never with trust: external.',
    ['default', 'send', 'withhold'],
    'default',
  ),
  timeoutMs: integer(
    'Timeout',
    'Time it has to begin its answer, and for each further piece of it; past it the UE gets 504.',
    MILLISECONDS,
    10_000,
  ),
  connectTimeoutMs: integer(
    'Connect timeout',
    'Time it has to accept a connection, TLS included; past it the UE gets 502.',
    MILLISECONDS,
    2000,
  ),
  connections: integer('Connections', 'Most connections kept open to each address, by each listener.', [1, 65_535], 64),
  waiting: integer('Waiting', 'Most requests that wait for such a connection; more get 503.', [0, 1_000_000], 500),
  waitMs: integer(
    'Wait',
    'Longest wait for such a connection while all are busy, that for the process included, then 503; on the express lane, httpFront: strict.',
    MILLISECONDS,
    500,
  ),
})

const route = given('Route', 'Which requests go to which application server, and by what rule.', {
  host: textOr('fqdn', 'Host', 'NAF host name this route is for; empty: all of them.', ''),
  pathPrefix: textOr(
    'path-prefix',
    'Path prefix',
    'Start of the path, in whole segments, that this route is for.',
    '/',
  ),
  appServer: text('name', 'Application server', 'Name of the application server that gets the request.'),
  doors: list(
    'Doors',
    'Ways to prove who one is, in order of preference; a request is judged by the first to which it brings anything.',
    oneOf(
      'Door',
      'psk: TLS with the bootstrapped key; certificate: of the client; digest: with the bootstrapped key; password: Digest with a provisioned secret.',
      DOORS,
    ),
    1,
    ['digest'],
  ),
  gsids: list(
    'GSIDs',
    'GAA services whose user security settings name the identities a subscriber may use here.',
    integer('GSID', 'GAA service identifier.', [0, 4_294_967_295]),
    1,
    [3, 2],
  ),
  gsTypes: list(
    'GAA service types',
    'Accepted as the id of a USS, under the tolerance uss-id-is-type.',
    integer('Type', 'GAA service type code.', [0, 4_294_967_295]),
    0,
    [],
  ),
  defaultIdentity: oneOf(
    'Default identity',
    'Asserted where the UE intends none; xui: the owner of the tree where that is the subscriber; first: the first of the USS.',
    ['xui', 'first'],
    'xui',
  ),
  challenge: Type.Optional(
    Type.Partial(Type.Object(challengeForm(false)), {
      title: 'Challenge',
      description: 'Exceptions to ap.challenge for this route.',
      additionalProperties: false,
    }),
  ),
  maxKeyAgeS: integer(
    'Key age',
    'How old a bootstrap may be here before the UE has to bootstrap anew, at least 60; 0: as old as the BSF lets it be.',
    [0, SECONDS[1]],
    0,
  ),
  ownership: ownership(
    'Ownership',
    'owner: the own tree only, global is read-only; owner-write: reads anywhere; as-decides: anything.',
    'owner',
  ),
  ownershipByAuid: Type.Record(
    Type.String({ pattern: '^[A-Za-z0-9._-]+$' }),
    ownership('Ownership of one AUID', 'As ownership, for this application usage.'),
    {
      additionalProperties: false,
      title: 'Ownership by AUID',
      description: 'Exceptions to ownership, by application usage (AUID).',
      default: {},
    },
  ),
  methods: list(
    'Methods',
    'HTTP methods let through; others get 405.',
    oneOf('Method', 'An HTTP method.', ['GET', 'HEAD', 'PUT', 'DELETE', 'POST', 'OPTIONS']),
    1,
    ['GET', 'HEAD', 'PUT', 'DELETE'],
  ),
})

export const apSchema = restart(
  given('AP', 'Makes this process an authentication proxy, a NAF in front of application servers.', {
    ...listen(8443),
    tls,
    subscriberCertificates: Type.Optional(subscriberCertificates),
    subscribersFile: live(
      textOr(
        'file',
        'Subscribers',
        'YAML file with subscribers who come by certificate or password, read again when it changes; empty: none.',
        '',
      ),
    ),
    httpFront: oneOf(
      'HTTP front',
      'Who reads requests within our own TLS: strict takes what a narrow grammar matches and leaves the rest to fastify.',
      ['strict', 'fastify'],
      'strict',
    ),
    tlsUpgrade: Type.Optional(tlsUpgrade),
    front: Type.Optional(front),
    insecurePlainUa: Type.Optional(plainUa),
    tolerance: live(tolerance),
    nafs: live(list('NAFs', 'Host names that UEs address.', naf, 1)),
    zn,
    challenge,
    rebootstrapFile: live(
      textOr(
        'file',
        'Re-bootstrap demands',
        'YAML list of who has to bootstrap anew (impu, btid or all: true; since), read again when it changes; empty: none.',
        '',
      ),
    ),
    accessLog,
    limits,
    pseudonymKeyFile: textOr(
      'file',
      'Pseudonym key',
      'File with the key of pairwise pseudonyms, shared by all APs and never changed; empty: one of our own, kept in the store.',
      '',
    ),
    appServers: live(list('Application servers', 'The servers behind the AP.', appServer, 1)),
    routes: live(list('Routes', 'Tried from the top; the first whose host and path prefix fit is taken.', route, 1)),
  }),
)
