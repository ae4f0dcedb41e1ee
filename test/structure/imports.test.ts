import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { describe, test } from 'node:test'

const SRC = join(import.meta.dirname, '../../src')

interface Import {
  /** Path below src/. */
  readonly from: string
  /** Path below src/, or the name of a package or built-in module. */
  readonly to: string
  readonly ours: boolean
  /** Gone at run time. */
  readonly typeOnly: boolean
}

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .sort()
const imports = files.flatMap(importsOf)
const ourImports = imports.filter(({ ours }) => ours)
const packages = imports.filter(({ ours, to }) => !ours && !to.startsWith('node:'))
const shown = (list: readonly Import[]) => list.map(({ from, to }) => `${from} -> ${to}`)

/** Static, re-exporting and dynamic ones, all with literal names: anything else fails a test below. */
function importsOf(file: string): Import[] {
  const source = withoutComments(readFileSync(join(SRC, file), 'utf8'))
  const found: { specifier: string; typeOnly: boolean }[] = []
  for (const [, clause = '', specifier = ''] of source.matchAll(
    /^(?:import|export)\b([^'"`;=()]*?)\bfrom\s*'([^']+)'/gm,
  )) {
    found.push({ specifier, typeOnly: isTypeOnly(clause) })
  }
  for (const [, specifier = ''] of source.matchAll(/(?:^import\s*|\bimport\s*\(\s*)'([^']+)'/gm)) {
    found.push({ specifier, typeOnly: false })
  }
  return found.map(({ specifier, typeOnly }) => {
    const ours = specifier.startsWith('.')
    const to = ours ? relative(SRC, join(SRC, dirname(file), specifier)) : specifier
    return { from: file, to, ours, typeOnly }
  })
}

/** `import type …`, or every name in the braces has its own `type`. */
function isTypeOnly(clause: string): boolean {
  const text = clause.trim()
  if (text.startsWith('type ') && !/^type\s*,/.test(text)) return true
  const names = /^\{(.*)\}$/s.exec(text)?.[1]?.split(',') ?? ['value']
  return names.every((name) => name.trim() === '' || name.trim().startsWith('type '))
}

/** Comments may show an import that is none; a string that holds `//` keeps it, as `https://` does. */
function withoutComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1')
}

const SERVER_FOLDERS = ['ub', 'zh', 'zn', 'ua', 'ut', 'hss', 'as', 'tls', 'http', 'observe', 'store']

/** main -> cli -> {app, lab} -> admin -> the app's parts -> interface folders -> config -> core -> errors */
const LAYERS: readonly (readonly string[])[] = [
  ['main.ts'],
  ['cli', 'index.ts'],
  ['app.ts', 'lab.ts'],
  ['admin'],
  ['part of the app'],
  [...SERVER_FOLDERS, 'ue'],
  ['config'],
  ['core'],
  ['errors.ts'],
]

/** A folder, or a file right below src/; ap.ts, server.ts, state.ts and what else lies there are parts of the app. */
function unitOf(path: string): string {
  const [unit = path] = path.split('/')
  return unit.endsWith('.ts') && !LAYERS.flat().includes(unit) ? 'part of the app' : unit
}
const layerOf = (path: string): number => LAYERS.findIndex((units) => units.includes(unitOf(path)))

/** What a folder shows its neighbours. */
const MEETING_POINTS = ['zh/port.ts', 'zn/port.ts', 'store/store.ts', 'observe/audit.ts']

describe('imports', () => {
  test('are all seen: none is computed, required or made in a way that this test cannot read', () => {
    const unread = files.filter((file) => {
      const source = withoutComments(readFileSync(join(SRC, file), 'utf8'))
      const mentions = source.match(/\bimport\s*\(|^import\b|^export\b[^'"`;=()]*?\bfrom\s*['"`]/gm)?.length ?? 0
      return /\brequire\s*\(|createRequire|import\.meta\.resolve/.test(source) || mentions !== importsOf(file).length
    })
    assert.deepEqual(unread, [])
    assert.ok(imports.length > 300)
  })

  test('name files that are there, with their ending', () => {
    assert.deepEqual(shown(ourImports.filter(({ to }) => !files.includes(to))), [])
  })

  test('know a layer for every file', () => {
    assert.deepEqual(
      files.filter((file) => layerOf(file) < 0),
      [],
    )
  })

  test('point down', () => {
    const up = ourImports.filter(({ from, to }) => layerOf(from) > layerOf(to))
    assert.deepEqual(shown(up), [])
  })

  test('stay within a folder, or meet at a port, where folders stand side by side', () => {
    const across = ourImports.filter(
      ({ from, to, typeOnly }) =>
        layerOf(from) === layerOf(to) && unitOf(from) !== unitOf(to) && !(typeOnly && MEETING_POINTS.includes(to)),
    )
    assert.deepEqual(shown(across), [])
  })

  test('of the UE emulator are core/ and config/nearest.ts, for it shares no code with the servers', () => {
    const others = ourImports.filter(
      ({ from, to }) => unitOf(from) === 'ue' && !['ue', 'core'].includes(unitOf(to)) && to !== 'config/nearest.ts',
    )
    assert.deepEqual(shown(others), [])
    const users = ourImports.filter(({ from, to }) => unitOf(to) === 'ue' && unitOf(from) !== 'ue')
    assert.deepEqual([...new Set(users.map(({ from }) => unitOf(from)))].sort(), ['cli', 'index.ts'])
  })

  test('of main are the command line alone, and only once the version of Node is known', () => {
    assert.deepEqual(shown(imports.filter(({ from }) => from === 'main.ts')), ['main.ts -> cli/index.ts'])
    assert.doesNotMatch(readFileSync(join(SRC, 'main.ts'), 'utf8'), /^import\b/m)
  })

  test('of the proxy are policy and ports: what talks to a BSF, a store or a disk is handed to it', () => {
    const others = ['zn', 'zh', 'ub', 'hss', 'as', 'store', 'tls', 'config']
    const beyond = ourImports.filter(
      ({ from, to, typeOnly }) =>
        ['ap.ts', 'ap-clients.ts', 'ap-stages.ts', 'ap-express.ts', 'shedding.ts'].includes(from) &&
        others.includes(unitOf(to)) &&
        !(typeOnly && MEETING_POINTS.includes(to)),
    )
    assert.deepEqual(shown(beyond), [])
  })

  test('go round in no circle at run time, and in none between folders at all', () => {
    const values = circles(ourImports.filter(({ typeOnly }) => !typeOnly))
    assert.deepEqual(values, [])
    const all = circles(ourImports).filter((circle) => new Set(circle.map(unitOf)).size > 1)
    assert.deepEqual(all, [])
  })
})

/** Where each package is adapted; nobody else may know it. */
const ADAPTERS: Readonly<Record<string, readonly string[]>> = {
  '@fastify/http-proxy': ['ut/plugin.ts'],
  '@sinclair/typebox': ['config'],
  ajv: ['config/validate.ts'],
  // the server of every role: made in one place, spoken to by each role's plugin, and named by those that compose them
  fastify: [
    'server.ts',
    'admin',
    'as/server.ts',
    'ub/plugin.ts',
    'ut/plugin.ts',
    'zn/plugin.ts',
    'ap.ts',
    'app.ts',
    'passage.ts',
    'connection.ts',
    'request-log.ts',
  ],
  ioredis: ['store/redis-client.ts'],
  lmdb: ['store/lmdb-file.ts'],
  'node-forge': ['tls/issue.ts'],
  pino: ['observe/log.ts'],
  'prom-client': ['observe/exposition.ts'],
  // what others send, and the lab's documents, which are edited where an element stands
  saxes: ['core/xml.ts', 'as/xml-document.ts'],
  // the clients of a BSF, of an application server and of a collector, and who asks after a server's health
  undici: ['zn/http.ts', 'ut/upstream.ts', 'ut/health.ts', 'observe/span-export.ts'],
  // configuration, subscribers, and cards
  yaml: ['config/load.ts', 'config/yaml-place.ts', 'ue/sim.ts'],
}

describe('packages', () => {
  test('are imported where they are adapted and nowhere else', () => {
    const elsewhere = packages.filter(({ from, to }) => {
      const places = ADAPTERS[to] ?? []
      return !places.includes(from) && !places.includes(unitOf(from))
    })
    assert.deepEqual(shown(elsewhere), [])
  })

  test('are those that this test lists, and those of package.json', () => {
    const used = [...new Set(packages.map(({ to }) => to))].sort()
    assert.deepEqual(used, Object.keys(ADAPTERS).sort())
    const { dependencies } = JSON.parse(readFileSync(join(SRC, '../package.json'), 'utf8'))
    assert.deepEqual(used, Object.keys(dependencies).sort())
  })

  test('of Fastify are types only where roles are composed', () => {
    const composers = ['ap.ts', 'app.ts', 'connection.ts', 'passage.ts', 'request-log.ts']
    const composing = packages.filter(
      ({ from, to }) => to === 'fastify' && (unitOf(from) === 'admin' || composers.includes(from)),
    )
    assert.deepEqual(shown(composing.filter(({ typeOnly }) => !typeOnly)), [])
  })
})

describe('what is pure', () => {
  const PURE = [
    ...files.filter((file) => unitOf(file) === 'core'),
    ...['bootstrap', 'limits'].map((name) => `ub/${name}.ts`),
    'store/gcra.ts',
    ...['answer-head', 'answer-reader', 'chunked', 'header-kinds', 'request-head'].map((name) => `http/${name}.ts`),
    ...[
      'addressed-naf',
      'authenticate',
      'certificate',
      'challenge',
      'door',
      'doors',
      'failures',
      'keys',
      'nonce',
      'password',
      'psk',
      'spend-nonce',
      'verify',
    ].map((name) => `ua/${name}.ts`),
    ...['answer', 'nbsp-gba', 'cache', 'local', 'port'].map((name) => `zn/${name}.ts`),
    ...['addresses', 'authorise', 'balance', 'breaker', 'header-names', 'headers', 'routes', 'target', 'xcap-uri'].map(
      (name) => `ut/${name}.ts`,
    ),
    'load.ts',
  ]

  test('imports node:crypto of all that Node has', () => {
    const builtins = imports.filter(
      ({ from, to, typeOnly }) => PURE.includes(from) && to.startsWith('node:') && !typeOnly,
    )
    assert.deepEqual(shown(builtins.filter(({ to }) => to !== 'node:crypto')), [])
    assert.deepEqual(
      PURE.filter((file) => !files.includes(file)),
      [],
    )
  })

  test('imports node:crypto, errors and (for XML) saxes only, where it is core', () => {
    const others = imports.filter(
      ({ from, to }) =>
        unitOf(from) === 'core' &&
        unitOf(to) !== 'core' &&
        to !== 'errors.ts' &&
        to !== 'node:crypto' &&
        !(from === 'core/xml.ts' && to === 'saxes'),
    )
    assert.deepEqual(shown(others), [])
  })

  test('takes time and chance as arguments', () => {
    const impure = PURE.filter((file) =>
      /\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\brandomUUID\b|\bgetRandomValues\b|\bsetTimeout\b|\bprocess\./.test(
        withoutComments(readFileSync(join(SRC, file), 'utf8')),
      ),
    )
    assert.deepEqual(impure, [])
  })

  test('the environment is read by main alone, and handed down', () => {
    const readers = files.filter((file) =>
      /\bprocess\.env\b/.test(withoutComments(readFileSync(join(SRC, file), 'utf8'))),
    )
    assert.deepEqual(readers, ['main.ts'])
  })
})

/** Groups of files that reach one another (Tarjan), the lone ones left out. */
function circles(edges: readonly Import[]): string[][] {
  const next = new Map(files.map((file) => [file, edges.filter(({ from }) => from === file).map(({ to }) => to)]))
  const [index, low] = [new Map<string, number>(), new Map<string, number>()]
  const stack: string[] = []
  const found: string[][] = []
  function visit(file: string): void {
    index.set(file, index.size)
    low.set(file, index.size - 1)
    stack.push(file)
    for (const to of next.get(file) ?? []) {
      if (!index.has(to)) visit(to)
      if (stack.includes(to)) low.set(file, Math.min(low.get(file) ?? 0, low.get(to) ?? 0))
    }
    if (low.get(file) !== index.get(file)) return
    const circle = stack.splice(stack.indexOf(file))
    if (circle.length > 1) found.push(circle.sort())
  }
  for (const file of files) if (!index.has(file)) visit(file)
  return found
}
