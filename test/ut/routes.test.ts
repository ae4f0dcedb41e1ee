import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Fqdn } from '../../src/core/identity.ts'
import { GbaError } from '../../src/errors.ts'
import { type RouteMatch, selectRoute } from '../../src/ut/routes.ts'

const XCAP = 'xcap.example.org' as Fqdn
const LISTS = 'lists.example.org' as Fqdn
const isUnknown = (error: unknown) => error instanceof GbaError && error.code === 'UT_ROUTE_UNKNOWN'
const route = (pathPrefix: string, host?: Fqdn): RouteMatch => ({ host, pathPrefix })

describe('a route is selected', () => {
  test('by host, any host where it names none', () => {
    const routes = [route('/', XCAP), route('/')]
    assert.equal(selectRoute(routes, XCAP, '/a'), routes[0])
    assert.equal(selectRoute(routes, LISTS, '/a'), routes[1])
  })

  test('by the start of the path; the first that fits, not the longest', () => {
    const routes = [route('/resource-lists'), route('/resource-lists/users'), route('/')]
    assert.equal(selectRoute(routes, XCAP, '/resource-lists/users/a'), routes[0])
    assert.equal(selectRoute(routes, XCAP, '/rls-services/users/a'), routes[2])
  })

  for (const [prefix, target] of [
    ['/', '/'],
    ['/', '/a/b'],
    ['/', '/?q'],
    ['/a', '/a'],
    ['/a', '/a/'],
    ['/a', '/a/b'],
    ['/a', '/a?q'],
    ['/a/', '/a/'],
    ['/a/', '/a/b'],
    ['/a/b', '/a/b/c'],
  ] as const) {
    test(`${prefix} leads ${target}`, () => assert.ok(selectRoute([route(prefix)], XCAP, target)))
  }
})

describe('no route is selected', () => {
  for (const [prefix, target] of [
    ['/a', '/'],
    ['/a', '/ab'],
    ['/a', '/A'],
    ['/a', '/%61'],
    ['/a', '/a;x'],
    ['/a', '/b/a'],
    ['/a', '/a#'],
    ['/a/', '/a'],
    ['/a/', '/a?'],
    ['/a/b', '/a'],
    ['/', ''],
    ['/', '*'],
    ['/', 'https://xcap.example.org/'],
  ] as const) {
    test(`${prefix} does not lead ${target}`, () =>
      assert.throws(() => selectRoute([route(prefix)], XCAP, target), isUnknown))
  }

  test('for another host', () => assert.throws(() => selectRoute([route('/', LISTS)], XCAP, '/'), isUnknown))
  test('where there is none', () => assert.throws(() => selectRoute([], XCAP, '/'), isUnknown))
})

test('a prefix leads exactly the targets whose first segments it is', () => {
  const segments = fc.array(fc.constantFrom('a', 'b', 'ab'), { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(segments, segments, (prefix, target) => {
      const select = () => selectRoute([route(`/${prefix.join('/')}`)], XCAP, `/${target.join('/')}`)
      if (prefix.every((segment, i) => target[i] === segment)) assert.ok(select())
      else assert.throws(select, isUnknown)
    }),
  )
})
