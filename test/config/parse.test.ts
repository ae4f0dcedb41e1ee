import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { describe, test } from 'node:test'
import { ConfigError } from '../../src/config/config-error.ts'
import { configOf, loadConfig, parseConfig } from '../../src/config/load.ts'

const FILE = 'somewhere/gba.yaml'

const AP = `ap:
  tls: { certificateFile: ap.pem, keyFile: ap.key }
  nafs:
    - fqdn: XCAP.example.org
  zn: { adapter: http, url: https://bsf:8444/, caFile: ca.pem, certificateFile: zn.pem, keyFile: zn.key }
  appServers:
    - { name: xdms, url: 'http://127.0.0.1:8085/' }
  routes:
    - appServer: xdms
`

const BSF = `hss: {}
bsf:
  names: [bsf.example.org]
`

function refusal(text: string, env = {}): ConfigError {
  try {
    parseConfig(text, FILE, env)
  } catch (error) {
    assert.ok(error instanceof ConfigError, String(error))
    return error
  }
  assert.fail('the configuration was accepted')
}

describe('a configuration', () => {
  test('is completed by the defaults of the sections that are there', () => {
    const { ap, bsf, hss, as, log, store } = parseConfig(AP, FILE)
    assert.deepEqual([bsf, hss, as], [undefined, undefined, undefined])
    assert.equal(log.identities, 'hashed')
    assert.equal(store.kind, 'lmdb')
    assert.equal(ap?.host, '127.0.0.1')
    assert.equal(ap?.port, 8443)
    assert.deepEqual(ap?.nafs[0]?.uaProtocolIds, ['tls-suite', '0100000002'])
    assert.deepEqual(ap?.challenge.qop, ['auth'])
    assert.equal(ap?.zn.timeoutMs, 1500)
    assert.equal(ap?.limits.bodyBytes, 1_048_576)
    assert.deepEqual(ap?.routes[0]?.gsids, [3, 2])
    assert.equal(ap?.routes[0]?.ownership, 'owner')
    assert.deepEqual(ap?.appServers[0]?.identityHeader, ['X-3GPP-Asserted-Identity'])
  })

  test('has its texts in canonical form: names in lower case, URLs without a trailing slash', () => {
    const { ap } = parseConfig(AP, FILE)
    assert.equal(ap?.nafs[0]?.fqdn, 'xcap.example.org')
    assert.equal(ap?.appServers[0]?.url, 'http://127.0.0.1:8085')
    assert.equal(ap?.zn.url, 'https://bsf:8444')
  })

  test('has file names that start at its own folder', () => {
    const { ap, store } = parseConfig(AP.replace('keyFile: ap.key', 'keyFile: /etc/ap.key'), FILE)
    assert.equal(ap?.tls.certificateFile, resolve('somewhere/ap.pem'))
    assert.equal(ap?.tls.keyFile, '/etc/ap.key')
    assert.equal(store.directory, resolve('somewhere/state'))
  })

  test('keeps an empty file name empty', () => {
    assert.equal(parseConfig(AP, FILE).log.auditFile, '')
    assert.equal(parseConfig(AP, FILE).ap?.challenge.nonceKeyFile, '')
  })

  test('has maps in which no inherited name is found', () => {
    const { ap } = parseConfig(`${AP}      ownershipByAuid: { simservs.ngn.etsi.org: as-decides }\n`, FILE)
    const byAuid = ap?.routes[0]?.ownershipByAuid
    assert.equal(byAuid?.['simservs.ngn.etsi.org'], 'as-decides')
    for (const name of ['constructor', '__proto__', 'toString']) assert.equal(byAuid?.[name], undefined)
    assert.equal(parseConfig(AP, FILE).ap?.routes[0]?.ownershipByAuid.constructor, undefined)
  })

  test('is frozen to the bottom', () => {
    const pending: unknown[] = [parseConfig(AP + BSF, FILE)]
    for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
      if (typeof value !== 'object' || value === null) continue
      assert.ok(Object.isFrozen(value), JSON.stringify(value))
      pending.push(...Object.values(value))
    }
  })

  test('shares no default with another one, and leaves a plain value that it came from alone', () => {
    const value = { hss: {}, bsf: { names: ['bsf.example.org'] } }
    const [one, other] = [configOf(value, FILE), configOf(value, FILE)]
    assert.notEqual(one.bsf?.ub, other.bsf?.ub)
    assert.deepEqual(value, { hss: {}, bsf: { names: ['bsf.example.org'] } })
    assert.deepEqual(parseConfig(BSF, FILE), one)
  })

  for (const [form, text] of [
    ['openssl', 'AB:'.repeat(31).concat('AB')],
    ['a row of digits', 'ab'.repeat(32)],
  ] as const) {
    test(`reads a fingerprint as ${form} into the form of node:crypto`, () => {
      const zn = `{ tls: { certificateFile: a, keyFile: b, clientCaFile: c }, nafs: [{ name: ap, certificate: { fingerprint256: '${text}' }, fqdns: [x.y] }] }`
      const [naf] = parseConfig(`${BSF}  zn: ${zn}\n`, FILE).bsf?.zn?.nafs ?? []
      assert.equal(naf?.certificate.fingerprint256, 'AB:'.repeat(31).concat('AB'))
      assert.equal(naf?.impi, false)
    })
  }
})

describe('a mistake is told with file, line and key:', () => {
  const cases: [name: string, text: string, line: number | undefined, key: string | undefined, detail: RegExp][] = [
    ['an unknown key, with the nearest known', AP.replace('  nafs:', '  prot: 1\n  nafs:'), 3, 'ap.prot', /ap\.port\?/],
    ['a misspelt required key, not the missing one', AP.replace('nafs:', 'naffs:'), 3, 'ap.naffs', /ap\.nafs\?/],
    ['a key in the wrong section, with the right one', `port: 1\n${AP}`, 1, 'port', /\.port\?/],
    ['an unknown key like no other', `${AP}zzzzzz: 1\n`, 10, 'zzzzzz', /unknown key$/],
    [
      'an unknown key in a list',
      AP.replace('appServer: xdms', 'appserver: xdms'),
      9,
      'ap.routes[0].appserver',
      /appServer\?/,
    ],
    ['a missing key, at its section', AP.replace(', keyFile: ap.key', ''), 2, 'ap.tls.keyFile', /missing/],
    ['a wrong word, with the nearest right one', `log: { level: inof }\n${AP}`, 1, 'log.level', /\(info\?\)/],
    ['a number in words', `${AP}  port: many\n`, 10, 'ap.port', /whole number.*"many"/],
    ['a number out of range', `${AP}  port: 65536\n`, 10, 'ap.port', /0 to 65535/],
    ['a number below its range', `${AP}  limits: { bodyBytes: 0 }\n`, 10, 'ap.limits.bodyBytes', /from 1 to/],
    ['a fraction', `${AP}  port: 80.5\n`, 10, 'ap.port', /whole number/],
    [
      'an identifier that YAML took for a number',
      AP.replace('org\n', 'org\n      uaProtocolIds: [0100000002]\n'),
      5,
      'ap.nafs[0].uaProtocolIds[0]',
      /quotes/,
    ],
    [
      'an identifier of nine digits',
      AP.replace('org\n', "org\n      uaProtocolIds: ['010000002']\n"),
      5,
      'ap.nafs[0].uaProtocolIds[0]',
      /ten hex/,
    ],
    [
      'a host name with a port',
      AP.replace('XCAP.example.org', 'xcap.example.org:443'),
      4,
      'ap.nafs[0].fqdn',
      /without port/,
    ],
    ['a server URL with a path', AP.replace('8085/', '8085/xcap'), 7, 'ap.appServers[0].url', /nothing behind/],
    ['a URL with a user', AP.replace('http://127', 'http://u:p@127'), 7, 'ap.appServers[0].url', /http/],
    ['a URL of another scheme', AP.replace('http://127', 'ftp://127'), 7, 'ap.appServers[0].url', /http/],
    [
      'a path prefix with a dot segment',
      `${AP}      pathPrefix: /a/../b\n`,
      10,
      'ap.routes[0].pathPrefix',
      /dot segment/,
    ],
    ['a path prefix with a percent sign', `${AP}      pathPrefix: /a%2fb\n`, 10, 'ap.routes[0].pathPrefix', /percent/],
    ['an empty list', AP.replace('  nafs:\n    - fqdn: XCAP.example.org', '  nafs: []'), 3, 'ap.nafs', /at least 1/],
    ['an empty text where one is needed', AP.replace('ap.pem', "''"), 2, 'ap.tls.certificateFile', /empty/],
    ['a section without content', AP.replace(/ {2}tls: .*/, '  tls:'), 2, 'ap.tls', /section.*empty/],
    ['something twice in a list', `${AP}      gsids: [3, 3]\n`, 10, 'ap.routes[0].gsids', /twice/],
    ['yes for true', `${AP}  challenge: { requireToken: yes }\n`, 10, 'ap.challenge.requireToken', /true or false/],
    [
      'an ownership that does not exist',
      `${AP}      ownershipByAuid: { pidf: owners }\n`,
      10,
      'ap.routes[0].ownershipByAuid.pidf',
      /\(owner\?\)/,
    ],
    ['a key that comes twice', `${AP}ap: {}\n`, 10, undefined, /not YAML/],
    ['broken YAML', `${AP}  x: [1\n`, 11, undefined, /not YAML/],
    ['a second document', `${AP}---\n${BSF}`, 10, undefined, /not YAML/],
    ['an unresolved alias', 'ap: *nothing\n', 1, undefined, /not YAML/],
    ['a list in place of the whole', '- ap\n', 1, undefined, /section of keys/],
    ['a prototype', `__proto__: { port: 1 }\n${AP}`, 1, '__proto__', /unknown key/],
  ]
  for (const [name, text, line, key, detail] of cases) {
    test(name, () => {
      const error = refusal(text)
      assert.deepEqual([error.file, error.line, error.key], [FILE, line, key], error.message)
      assert.match(error.detail, detail)
    })
  }

  test('in the form file:line: key: detail', () => {
    assert.match(
      refusal(`${AP}  prot: 1\n`).message,
      /^somewhere\/gba\.yaml:10: ap\.prot: unknown key; did you mean ap\.port\?$/,
    )
  })

  test('the first one in the file, when there are several', () => {
    assert.equal(refusal(`${AP}  prot: 1\nlogg: {}\n`).key, 'ap.prot')
  })

  test('a file that is not there', async () => {
    await assert.rejects(loadConfig('/nonexistent/gba.yaml', {}), (error) => {
      assert.ok(error instanceof ConfigError)
      assert.deepEqual([error.file, error.line], ['/nonexistent/gba.yaml', undefined])
      return /ENOENT/.test(error.detail)
    })
  })
})

describe('what only several keys together show is refused:', () => {
  const two = `${AP}    - `
  const server = "    - { name: xdms, url: 'http://127.0.0.1:8085/' }\n"
  const zn = (nafs: string) =>
    `${BSF}  zn:\n    tls: { certificateFile: a, keyFile: b, clientCaFile: c }\n    nafs:\n${nafs}`
  const cases: [name: string, text: string, line: number | undefined, key: string | undefined, detail: RegExp][] = [
    ['no role', 'log: { level: info }\n', 1, undefined, /no role.*ap, bsf/],
    ['an empty file', '', undefined, undefined, /no role/],
    [
      'a route to an unknown server, with the nearest',
      AP.replace('appServer: xdms', 'appServer: xdmss'),
      9,
      'ap.routes[0].appServer',
      /xdms\?/,
    ],
    [
      'a route for a host that is no NAF',
      `${AP}      host: xcap.example.com\n`,
      10,
      'ap.routes[0].host',
      /xcap\.example\.org\?/,
    ],
    [
      'a route behind one that takes everything',
      `${two}{ appServer: xdms, pathPrefix: /simservs }\n`,
      10,
      'ap.routes[1]',
      /never reached/,
    ],
    [
      'two servers of one name',
      AP.replace(server, server + server.replace('8085', '8086')),
      8,
      'ap.appServers[1].name',
      /twice/,
    ],
    [
      'a further address of another scheme',
      AP.replace("8085/' }", "8085/', moreUrls: ['https://127.0.0.1:8086'] }"),
      7,
      'ap.appServers[0].moreUrls[0]',
      /scheme/,
    ],
    [
      'an address that comes twice, written otherwise',
      AP.replace("8085/' }", "8085/', moreUrls: ['http://127.0.0.1:8086', 'http://127.0.0.1:8085'] }"),
      7,
      'ap.appServers[0].moreUrls[1]',
      /twice/,
    ],
    [
      'two NAFs of one name',
      AP.replace('org\n', "org\n    - { fqdn: xcap.example.org, uaProtocolIds: ['0100000002'] }\n"),
      5,
      'ap.nafs[1].fqdn',
      /twice/,
    ],
    ['Zn local without a BSF', AP.replace(/ {2}zn: .*\n/, ''), 1, 'ap.zn.adapter', /bsf/],
    ['Zn local with a URL', AP.replace('adapter: http, ', '').replace('ap:', `${BSF}ap:`), 8, 'ap.zn.url', /adapter/],
    ['Zn http without a CA', AP.replace('caFile: ca.pem, ', ''), 5, 'ap.zn.caFile', /missing/],
    ['Zn in clear', AP.replace('https:', 'http:'), 5, 'ap.zn.url', /https/],
    ['Zn with the key of the UE side', AP.replace('zn.key', 'ap.key'), 5, 'ap.zn.keyFile', /of its own/],
    ['a CA for a collector in clear', `${AP}traces: { caFile: ca.pem }\n`, 10, 'traces.caFile', /https/],
    ['a share that is more than all', `${AP}traces: { sampleRatio: 1.5 }\n`, 10, 'traces.sampleRatio', /from 0 to 1/],
    ['a share in words', `${AP}traces: { sampleRatio: half }\n`, 10, 'traces.sampleRatio', /a number/],
    [
      'trust in traces from everywhere',
      `${AP}traces: { trustedSources: [0.0.0.0/0] }\n`,
      10,
      'traces.trustedSources[0]',
      /network/,
    ],
    ['a BSF without an HSS', BSF.replace('hss: {}\n', ''), 1, 'bsf.zh.adapter', /hss/],
    ['an HSS without a BSF', 'hss: {}\n', 1, 'hss', /bsf/],
    ['two servers on one port', `${AP}as: { port: 8443 }\n`, 10, 'as.port', /ap\.port/],
    [
      'headers allowed longer than the request',
      `${AP}  limits: { headersTimeoutMs: 9, requestTimeoutMs: 8 }\n`,
      10,
      'ap.limits.headersTimeoutMs',
      /requestTimeoutMs/,
    ],
    [
      'a NAF that any certificate would be',
      zn('      - { name: ap, certificate: {}, fqdns: [x.y] }\n'),
      7,
      'bsf.zn.nafs[0].certificate',
      /any certificate/,
    ],
    [
      'two NAFs with one certificate',
      zn(
        '      - { name: a, certificate: { san: a }, fqdns: [x.y] }\n      - { name: b, certificate: { san: A }, fqdns: [x.y] }\n',
      ),
      8,
      'bsf.zn.nafs[1].certificate',
      /stands for a/,
    ],
  ]
  for (const [name, text, line, key, detail] of cases) {
    test(name, () => {
      const error = refusal(text)
      assert.deepEqual([error.line, error.key], [line, key], error.message)
      assert.match(error.detail, detail)
    })
  }

  test('but two ports that are 0 collide with nothing', () => {
    assert.equal(parseConfig(`${AP}  port: 0\nas: { port: 0 }\n`, FILE).as?.port, 0)
  })

  test('but a general route may follow a special one', () => {
    assert.equal(
      parseConfig(
        `${AP}      pathPrefix: /a\n    - { appServer: xdms, pathPrefix: /ab }\n    - appServer: xdms\n`,
        FILE,
      ).ap?.routes.length,
      3,
    )
  })
})

describe('the environment', () => {
  test('overrides the keys it may', () => {
    const config = parseConfig(BSF, FILE, {
      GBA_PROXY_LOG_LEVEL: 'debug',
      GBA_PROXY_LOG_IDENTITIES: 'clear',
      GBA_PROXY_STORE_DIRECTORY: '/var/lib/gba',
    })
    assert.deepEqual(
      [config.log.level, config.log.identities, config.store.directory],
      ['debug', 'clear', '/var/lib/gba'],
    )
  })

  test('is named when its value is wrong', () => {
    const error = refusal(BSF, { GBA_PROXY_LOG_LEVEL: 'loud' })
    assert.deepEqual(
      [error.file, error.line, error.key],
      ['environment variable GBA_PROXY_LOG_LEVEL', undefined, 'log.level'],
    )
  })

  test('may hold what container platforms put there', () => {
    assert.equal(parseConfig(BSF, FILE, { GBA_PROXY_PORT: 'tcp://10.0.0.1:8443' }).bsf?.ub.port, 8080)
  })
})
