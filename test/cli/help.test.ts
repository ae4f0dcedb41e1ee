import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { helpBlocks, optionText } from '../../src/cli/help.ts'
import { loadCommands } from '../../src/cli/index.ts'
import { ENVIRONMENT } from '../../src/config/load.ts'

const commands = await loadCommands()

describe('the help of every subcommand', () => {
  for (const { name, usage, options = {} } of commands) {
    const blocks = helpBlocks(usage)
    const terms = blocks.flatMap((block) => (block.kind === 'entry' ? [block.term] : []))

    test(`has an entry for each option of ${name}, with its letter, and for no other`, () => {
      const told = terms
        .filter((term) => term.startsWith('-'))
        .map((term) => ({ long: /--([a-z-]+)/.exec(term)?.[1], short: /^-([A-Za-z])\b/.exec(term)?.[1] }))
      const known = Object.entries(options).flatMap(([long, { short, hidden }]) => (hidden ? [] : [{ long, short }]))
      const sorted = (list: typeof told) => list.map(({ long, short }) => `${long} ${short}`).sort()
      assert.deepEqual(sorted(told), sorted(known))
      for (const { long } of known) assert.notEqual(optionText(blocks, long ?? ''), undefined)
    })

    test(`says its exit codes and shows examples: ${name}`, () => {
      const paragraphs = blocks.flatMap((block) => (block.kind === 'paragraph' ? [block.text] : []))
      assert.ok(paragraphs.some((text) => /^Exit code: 0 /.test(text)))
      const at = blocks.findIndex((block) => block.kind === 'heading' && block.text === 'Examples')
      const [example] = blocks.slice(at + 1)
      assert.ok(
        at >= 0 && example?.kind === 'entry' && example.term.includes(`gba-proxy ${name}`) && example.text !== '',
      )
    })

    test(`fits a screen: ${name}`, () => {
      assert.deepEqual(
        usage.split('\n').filter((line) => line.length > 120 && !line.includes('https://')),
        [],
      )
    })
  }

  test('of serve names every variable of the environment that the configuration listens to', () => {
    const usage = commands.find(({ name }) => name === 'serve')?.usage ?? ''
    for (const [variable, path] of Object.entries(ENVIRONMENT)) {
      assert.match(usage, new RegExp(`${variable} +in the place of ${path.join('\\.')}`))
    }
  })
})

describe('a help text', () => {
  const blocks = helpBlocks(`usage: gba-proxy x FILE
       gba-proxy x --all

A paragraph, which says:
more than one line.

  -a, --all         all of them; and not
                    only some
      --long-name N
                    a number
  word              a word

Files:
  a b   c
`)

  test('is read as synopsis, paragraphs, headings and entries', () => {
    assert.deepEqual(blocks, [
      { kind: 'synopsis', lines: ['gba-proxy x FILE', 'gba-proxy x --all'] },
      { kind: 'paragraph', text: 'A paragraph, which says: more than one line.' },
      { kind: 'entry', term: '-a, --all', text: 'all of them; and not only some' },
      { kind: 'entry', term: '--long-name N', text: 'a number' },
      { kind: 'entry', term: 'word', text: 'a word' },
      { kind: 'heading', text: 'Files' },
      { kind: 'entry', term: 'a b', text: 'c' },
    ])
  })

  test('says of an option what fits one line', () => {
    assert.deepEqual([optionText(blocks, 'all'), optionText(blocks, 'long-name')], ['all of them', 'a number'])
    assert.deepEqual([optionText(blocks, 'long'), optionText(blocks, 'al')], [undefined, undefined])
  })
})
