import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { processReport } from '../../src/observe/exposition.ts'
import { METRIC_NAMES, METRICS } from '../../src/observe/metric-definitions.ts'

interface Panel {
  readonly title: string
  readonly type: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[]
}

const dashboard = JSON.parse(readFileSync(new URL('../../deploy/dashboard.json', import.meta.url), 'utf8'))
const panels: readonly Panel[] = dashboard.panels
const targets = panels.flatMap(({ title, targets = [] }) => targets.map((target) => ({ title, ...target })))
const variables: readonly { readonly name: string; readonly definition?: string }[] = dashboard.templating.list

/** Names in an expression that are metrics: what is neither a function, nor a label, nor a word of the language. */
function metricsIn(expr: string): string[] {
  const bare = expr.replaceAll(/"[^"]*"/g, '').replaceAll(/\b(?:by|without) \([^)]*\)/g, '')
  const names = bare.replaceAll(/\{[^}]*\}/g, ' ').replaceAll(/\[[^\]]*\]/g, ' ')
  return [...names.matchAll(/[a-z_][\w:]*\b(?!\s*\()/g)].map(([name]) => name)
}
const familyOf = (name: string) => name.replace(/_(?:bucket|sum|count)$/, '')
const labelsIn = (expr: string): string[] => [
  ...[...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, names = '']) => names.split(/,\s*/)),
  ...[...expr.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"/g)].map(([, name = '']) => name),
]

describe('the dashboard', () => {
  test('names only metrics that exist, a histogram by its parts', async () => {
    const ofProcess = (await processReport()).map(({ name }) => name)
    const known = new Set<string>([
      ...ofProcess,
      ...METRIC_NAMES.flatMap((name) =>
        METRICS[name].type === 'histogram' ? ['bucket', 'sum', 'count'].map((part) => `${name}_${part}`) : [name],
      ),
    ])
    const named = targets.flatMap(({ expr }) => metricsIn(expr))
    assert.ok(named.length > 30)
    assert.deepEqual(
      named.filter((name) => !known.has(name)),
      [],
    )
    for (const { definition } of variables) {
      if (definition) assert.ok(known.has(/\((\w+)/.exec(definition)?.[1] ?? ''), definition)
    }
  })

  test('names only labels that those metrics have', () => {
    const everywhere = ['job', 'instance', 'le']
    const odd = targets.flatMap(({ title, expr, legendFormat }) => {
      const own = metricsIn(expr).flatMap((name) => Object.keys(labelsOf(familyOf(name))))
      const used = [...labelsIn(expr), ...[...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, name = '']) => name)]
      return used.filter((label) => ![...own, ...everywhere].includes(label)).map((label) => `${title}: ${label}`)
    })
    assert.deepEqual(odd, [])
  })

  test('shows every metric of ours but the one that says what the program is', () => {
    const shown = new Set(targets.flatMap(({ expr }) => metricsIn(expr)).map(familyOf))
    assert.deepEqual(
      METRIC_NAMES.filter((name) => !shown.has(name)),
      ['gba_proxy_build_info'],
    )
  })

  test('has balanced expressions, and panels that lie on nothing else', () => {
    for (const { expr } of targets) {
      for (const [open, close] of ['()', '{}', '[]'] as const) {
        assert.equal(expr.split(open ?? '').length, expr.split(close ?? '').length, expr)
      }
    }
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
    )
    assert.equal(new Set(cells).size, cells.length)
    assert.ok(panels.every(({ gridPos: { x, w } }) => x + w <= 24))
  })
})

const labelsOf = (name: string): object => (METRICS as Readonly<Record<string, { labels: object }>>)[name]?.labels ?? {}
