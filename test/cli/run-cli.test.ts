import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Command, Io } from '../../src/cli/command.ts'
import { type CommandTable, runCli } from '../../src/cli/index.ts'
import { needed, parseOptions, UsageError, wholeNumber } from '../../src/cli/options.ts'
import { ConfigError } from '../../src/config/config-error.ts'

function session() {
  const text = { stdout: '', stderr: '' }
  const io: Io = {
    stdout: { write: (chunk) => (text.stdout += String(chunk)) },
    stderr: { write: (chunk) => (text.stderr += String(chunk)) },
    env: {},
    signal: new AbortController().signal,
  }
  return { io, text }
}

let seen: string[] = []
const greet: Command = {
  name: 'greet',
  summary: 'say hello',
  usage: 'usage: gba-proxy greet [--name NAME]\n',
  async run(args) {
    seen = args
    if (args[0] === 'config') throw new ConfigError({ file: 'a.yaml', line: 3, key: 'ap.prot' }, 'unknown key')
    if (args[0] === 'usage') throw new UsageError('no such thing')
    if (args[0] === 'bug') throw new TypeError('ours')
    return 7
  },
}
const table: CommandTable = {
  greet: async () => greet,
  broken: async () => assert.fail('loaded without being asked for'),
}

describe('gba-proxy', () => {
  test('runs the subcommand with the arguments behind it, and answers its exit code', async () => {
    assert.equal(await runCli(['greet', '-x', 'y'], session().io, table), 7)
    assert.deepEqual(seen, ['-x', 'y'])
  })

  test('prints the version', async () => {
    const { io, text } = session()
    assert.equal(await runCli(['--version'], io, table), 0)
    assert.match(text.stdout, /^gba-proxy \d+\.\d+\.\d+\n$/)
  })

  for (const args of [['--help'], ['-h'], ['help']]) {
    test(`lists the subcommands for ${args}`, async () => {
      const { io, text } = session()
      assert.equal(await runCli(args, io, { greet: async () => greet }), 0)
      assert.match(text.stdout, /greet {4}say hello/)
      assert.equal(text.stderr, '')
    })
  }

  test('lists the subcommands on standard error, with exit code 2, when none is given', async () => {
    const { io, text } = session()
    assert.equal(await runCli([], io, { greet: async () => greet }), 2)
    assert.match(text.stderr, /greet/)
    assert.equal(text.stdout, '')
  })

  for (const args of [['--help'], ['-h'], ['x', '--help']]) {
    test(`prints the help of a subcommand for ${args.join(' ')} and does not run it`, async () => {
      seen = ['untouched']
      const { io, text } = session()
      assert.equal(await runCli(['greet', ...args], io, table), 0)
      assert.equal(text.stdout, greet.usage)
      assert.deepEqual(seen, ['untouched'])
    })
  }

  for (const args of [
    ['--', '--help'],
    ['x', '-h'],
  ]) {
    test(`leaves ${args.join(' ')} to the subcommand`, async () => {
      assert.equal(await runCli(['greet', ...args], session().io, table), 7)
      assert.deepEqual(seen, args)
    })
  }

  for (const [name, hint] of [
    ['gret', /did you mean greet\?/],
    ['zzzzzz', /--help/],
    ['toString', /--help/],
  ] as const) {
    test(`answers 2 for the unknown subcommand ${name}`, async () => {
      const { io, text } = session()
      assert.equal(await runCli([name], io, table), 2)
      assert.match(text.stderr, hint)
      assert.equal(text.stdout, '')
    })
  }

  test('answers 2 for a wrong configuration, with file, line and key', async () => {
    const { io, text } = session()
    assert.equal(await runCli(['greet', 'config'], io, table), 2)
    assert.match(text.stderr, /^a\.yaml:3: ap\.prot: /)
  })

  test('answers 2 for a wrong command line, with the subcommand', async () => {
    const { io, text } = session()
    assert.equal(await runCli(['greet', 'usage'], io, table), 2)
    assert.match(text.stderr, /^gba-proxy greet: /)
  })

  test('hides no bug', async () => {
    await assert.rejects(runCli(['greet', 'bug'], session().io, table), TypeError)
  })
})

describe('options', () => {
  const options = { config: { type: 'string', short: 'c' }, force: { type: 'boolean' } } as const

  test('come out by name', () => {
    assert.deepEqual({ ...parseOptions(['-c', 'a', '--force'], options).values }, { config: 'a', force: true })
  })

  for (const [name, args, hint] of [
    ['an unknown one, with the nearest', ['--confg', 'x'], /--confg; did you mean --config\?/],
    ['an unknown one with a value', ['--confg=x'], /--confg; did you mean --config\?/],
    ['an unknown one like no other', ['--zzzzzz'], /--zzzzzz$/],
    ['an unknown short one', ['-z'], /-z$/],
    ['one without its value', ['--config'], /--config/],
    ['a value for one that takes none', ['--force=yes'], /--force/],
    ['a surplus argument', ['more'], /'more'/],
  ] as const) {
    test(`refuses ${name}`, () => {
      assert.throws(
        () => parseOptions([...args], options),
        (error) => error instanceof UsageError && hint.test(error.message),
      )
    })
  }

  test('that are needed have to be given', () => {
    assert.equal(needed('x', 'config'), 'x')
    for (const value of [undefined, '']) assert.throws(() => needed(value, 'config'), UsageError)
  })

  test('that are numbers are whole and in range', () => {
    assert.equal(wholeNumber('365', 'days', [1, 365]), 365)
    for (const text of ['0', '366', '1.5', '-1', '1e2', '', ' 1', '0x10', 'NaN', '9'.repeat(30)]) {
      assert.throws(() => wholeNumber(text, 'days', [1, 365]), UsageError, text)
    }
  })
})
