import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { FAULTS, type FaultCode } from '../../src/errors.ts'

const SRC = join(import.meta.dirname, '../../src')
const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'))
const sourceOf = (file: string) => readFileSync(join(SRC, file), 'utf8')

interface Exported {
  readonly file: string
  readonly name: string
  /** The doc comment right above it, '' for none. */
  readonly doc: string
}

/** Functions and constants; types carry their reference where it helps. */
const exportedFrom = (file: string): Exported[] =>
  [
    ...sourceOf(file).matchAll(
      /(?:\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\s*\n)?^export (?:default )?(?:async )?(?:function|const)\s+(\w+)/gm,
    ),
  ].map(([, doc = '', name = '']) => ({ file, name, doc }))

const referencesIn = (doc: string) => doc.match(/@see\b/g)?.length ?? 0

/** Octets, keys, and policy of our own: no standard has a word for what they export. */
const NO_PROTOCOL = ['core/bytes.ts', 'core/header-names.ts', 'core/secret.ts', 'core/tolerances.ts']

/** Files whose every exported function and constant says something that a standard says. */
const PROTOCOL = [
  ...files.filter((file) => file.startsWith('core/') && !NO_PROTOCOL.includes(file)),
  'ub/bootstrap.ts',
  ...[
    'addressed-naf',
    'authenticate',
    'challenge',
    'door',
    'doors',
    'keys',
    'nonce',
    'password',
    'psk',
    'spend-nonce',
    'verify',
  ].map((name) => `ua/${name}.ts`),
  ...['answer', 'nbsp-gba'].map((name) => `zn/${name}.ts`),
  ...['authorise', 'headers', 'target', 'xcap-uri'].map((name) => `ut/${name}.ts`),
]

/** What stands in those files and is our own: no standard has a word for it, or its word stands right beside. */
const OURS: Readonly<Record<string, readonly string[]>> = {
  // helpers that have a second user
  'core/headers.ts': ['headerValues'],
  'core/uss.ts': ['allOf'],
  'core/xml.ts': ['childElements', 'textContent', 'attributeValue'],
  // what is remembered, and what proves who made it
  'core/mark.ts': ['marker'],
  'core/memo.ts': ['ownCopyOf'],
  // when what is when
  'core/turn.ts': ['atEndOfTurn'],
  // a stricter host name than any standard's
  'core/fqdn.ts': ['parseFqdn'],
  // readers of what btidOf makes and of what TMPI_DOMAIN marks, each with its reference
  'core/identity.ts': ['parseTmpi', 'parseBtid'],
  // how our nonces are made
  'ua/challenge.ts': ['UA_OPAQUE'],
  'ua/nonce.ts': ['NONCE_RANDOM_OCTETS', 'isBehind', 'mintedAhead', 'mintedAt'],
  // which deviations are let through
  'ua/verify.ts': ['requireTolerated'],
  // proof that a check was made, and of what
  'ut/authorise.ts': ['isGrant'],
  'ut/headers.ts': ['preparedTarget', 'outgoingHeaders'],
  // parts of requireUnambiguous
  'ut/target.ts': ['decodeSegment', 'ambiguous'],
}

describe('every exported protocol function and constant', () => {
  const all = PROTOCOL.flatMap(exportedFrom)
  const isOurs = ({ file, name }: Exported) => OURS[file]?.includes(name) ?? false

  test('carries exactly one reference to the standard it follows', () => {
    const without = all.filter((one) => !isOurs(one) && referencesIn(one.doc) !== 1)
    assert.deepEqual(
      without.map(({ file, name, doc }) => `${file} ${name}: ${referencesIn(doc)}`),
      [],
    )
    assert.ok(all.length > 70)
  })

  test('carries one, where this test does not list it as ours; and what it lists is there and has none', () => {
    const listed = Object.entries(OURS).flatMap(([file, names]) => names.map((name) => `${file} ${name}`))
    const found = all.filter((one) => isOurs(one) && referencesIn(one.doc) === 0)
    assert.deepEqual(
      listed.filter((one) => !found.some(({ file, name }) => one === `${file} ${name}`)),
      [],
    )
  })
})

describe('every reference', () => {
  const references = files.flatMap((file) =>
    [...sourceOf(file).matchAll(/@see\s+(.+?)\s*(?:\*\/.*)?$/gm)].map(([, text = '']) => ({ file, text })),
  )

  test('names document, clause, and the release where there are releases', () => {
    const forms = [
      /^3GPP TS \d\d\.\d{3} (?:clauses?|Annex) [A-Z0-9].* \(Rel-\d\d\)$/,
      /^RFC \d{3,4} (?:clauses?|sections?) \d+(?:\.\d+)*\b/,
      /^(?:W3C|IANA|XPointer|PROXY protocol|OpenTelemetry) \S/,
    ]
    const odd = references.filter(({ text }) => !forms.some((form) => form.test(text)))
    assert.deepEqual(odd, [])
    assert.ok(references.length > 100)
  })
})

describe('every fault code', () => {
  const codes = Object.keys(FAULTS) as FaultCode[]
  const elsewhere = files.filter((file) => file !== 'errors.ts')

  test('is thrown somewhere, or promised by a port whose adapters will throw it', () => {
    const thrown = elsewhere.map(sourceOf).map(withoutComments).join('\n')
    const promised = elsewhere
      .filter((file) => file.endsWith('/port.ts'))
      .flatMap((file) => sourceOf(file).match(/@throws.*/g) ?? [])
      .join('\n')
    const dead = codes.filter((code) => !thrown.includes(`'${code}'`) && !new RegExp(`\\b${code}\\b`).test(promised))
    assert.deepEqual(dead, [])
  })

  test('that a comment promises is one', () => {
    const words = elsewhere.flatMap((file) =>
      [...sourceOf(file).matchAll(/\b(?:UB|ZH|ZN|UA|UT)_[A-Z]+(?:_[A-Z]+)+\b/g)].map(([word]) => ({ file, word })),
    )
    const known: ReadonlySet<string> = new Set([...codes, ...namesExported()])
    assert.deepEqual(
      words.filter(({ word }) => !known.has(word)),
      [],
    )
  })

  test('says whose fault it is by the status it answers', () => {
    const wrong = codes.filter((code) => {
      const { by, ut, ub } = FAULTS[code]
      const statuses = [ut, ub].filter((status) => status !== null)
      return by === 'peer' || by === 'us' ? false : statuses.some((status) => status >= 500)
    })
    assert.deepEqual(wrong, [])
    const nobody = codes.filter((code) => {
      const { ut, ub, zn } = FAULTS[code]
      return ut === null && ub === null && zn === null
    })
    assert.deepEqual(nobody, [])
  })
})

/** Constants of ours that look like a code: UA_HTTP_DIGEST and its like. */
function namesExported(): string[] {
  return files.flatMap(exportedFrom).map(({ name }) => name)
}

function withoutComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1')
}
