import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { configTable, TABLE_BEGIN, TABLE_END, updateReadme } from '../../src/config/table.ts'

describe('the configuration table', () => {
  const rows = configTable().split('\n')
  const row = (key: string) => rows.filter((line) => line.startsWith(`| \`${key}\` |`))

  for (const [key, cells] of [
    ['ap', ' section | absent | restart | '],
    ['ap.port', ' 0..65535 | `8443` | restart | '],
    ['ap.tls.keyFile', ' file | required | restart | '],
    ['ap.nafs[].fqdn', ' fqdn | required | live | '],
    ['ap.routes[].gsids', ' list of 0..4294967295 | `[3, 2]` | live | '],
    ['ap.routes[].ownership', ' owner \\| owner-write \\| as-decides | `owner` | '],
    ['ap.challenge.requireToken', ' true \\| false | `false` | live | '],
    ['log', ' section |  |  | '],
    ['log.auditFile', ' file | none | restart | '],
  ] as const) {
    test(`has one row for ${key}`, () => {
      assert.equal(row(key).length, 1)
      assert.ok(row(key)[0]?.startsWith(`| \`${key}\` |${cells}`), row(key)[0])
    })
  }

  test('has five cells in every row', () => {
    for (const line of rows) assert.equal(line.split(/(?<!\\)\|/).length, 7, line)
  })
})

describe('updating a README', () => {
  test('replaces what is between the markers and nothing else', () => {
    const text = `before\n${TABLE_BEGIN}\nold\n${TABLE_END}\nafter\n`
    assert.equal(updateReadme(text, 'new'), `before\n${TABLE_BEGIN}\nnew\n${TABLE_END}\nafter\n`)
    assert.equal(updateReadme(updateReadme(text)), updateReadme(text))
  })

  for (const [name, text] of [
    ['without markers', 'text'],
    ['without the second marker', TABLE_BEGIN],
    ['with the markers swapped', TABLE_END + TABLE_BEGIN],
    ['with two tables', (TABLE_BEGIN + TABLE_END).repeat(2)],
  ] as const) {
    test(`is refused for one ${name}`, () => assert.throws(() => updateReadme(text)))
  }
})
