import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { COMMANDS, loadCommands, runCli } from '../../src/cli/index.ts'
import { PROFILE_NAMES } from '../../src/ue/profiles.ts'
import { peerTest } from '../support/peer.ts'

const commands = await loadCommands()
const directory = mkdtempSync(join(tmpdir(), 'gba-proxy-completion-'))
after(() => rmSync(directory, { recursive: true }))

async function cli(...args: string[]) {
  const text = { stdout: '', stderr: '' }
  const code = await runCli(args, {
    stdout: { write: (chunk) => (text.stdout += String(chunk)) },
    stderr: { write: (chunk) => (text.stderr += String(chunk)) },
    env: {},
    signal: new AbortController().signal,
  })
  return { code, ...text }
}

const scripts: Record<string, string> = {}
before(async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { code, stdout } = await cli('completion', shell)
    assert.equal(code, 0)
    scripts[shell] = join(directory, shell)
    writeFileSync(join(directory, shell), stdout)
  }
  for (const name of ['a file.yaml', 'other.yaml']) writeFileSync(join(directory, name), '')
})

/** What bash would offer for the last of these words. */
function inBash(...words: string[]): string[] {
  const script = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gba_proxy
    printf '%s\\n' "\${COMPREPLY[@]}"`
  const stdout = execFileSync('bash', ['--norc', '-c', script, 'bash', scripts.bash ?? '', ...words], {
    cwd: directory,
    encoding: 'utf8',
  })
  return stdout.split('\n').filter((line) => line !== '')
}

const longOptionsOf = (name: string) =>
  Object.entries(commands.find((command) => command.name === name)?.options ?? {}).flatMap(([long, { hidden }]) =>
    hidden ? [] : [`--${long}`],
  )

describe('completion', () => {
  peerTest('in bash offers every subcommand', ['bash'], () => {
    assert.deepEqual(inBash('gba-proxy', ''), [...Object.keys(COMMANDS), '--help', '--version'])
    assert.deepEqual(inBash('gba-proxy', 'ce'), ['certs'])
  })

  peerTest('in bash offers the options of each subcommand, and none of our own making', ['bash'], () => {
    for (const { name } of commands) {
      assert.deepEqual(inBash('gba-proxy', name, '--').sort(), [...longOptionsOf(name), '--help'].sort())
    }
    assert.deepEqual(inBash('gba-proxy', 'serve', '--w'), [])
  })

  peerTest('in bash offers what may stand behind an option', ['bash'], () => {
    assert.deepEqual(inBash('gba-proxy', 'ue', '--profile', ''), PROFILE_NAMES)
    assert.deepEqual(inBash('gba-proxy', 'ue', '--profile', '=', 'a'), ['android'])
    assert.deepEqual(inBash('gba-proxy', 'serve', '-c', 'a'), ['a file.yaml'])
    assert.deepEqual(inBash('gba-proxy', 'certs', '--days', ''), [])
  })

  peerTest('in bash offers arguments by their place', ['bash'], () => {
    assert.deepEqual(inBash('gba-proxy', 'certs', 're'), ['renew', 'revoke'])
    assert.deepEqual(inBash('gba-proxy', 'certs', 'revoke', 'o'), ['other.yaml'])
    assert.deepEqual(inBash('gba-proxy', 'completion', ''), ['bash', 'zsh', 'fish'])
  })

  peerTest('in fish offers subcommands, options and choices', ['fish'], () => {
    const inFish = (line: string) =>
      execFileSync('fish', ['--no-config', '-c', `source $argv[1]; complete -C $argv[2]`, scripts.fish ?? '', line], {
        cwd: directory,
        encoding: 'utf8',
        env: { ...process.env, HOME: directory },
      })
        .split('\n')
        .flatMap((one) => one.split('\t')[0] || [])
    assert.deepEqual(inFish('gba-proxy ').sort(), Object.keys(COMMANDS).sort())
    for (const { name } of commands) {
      assert.deepEqual(inFish(`gba-proxy ${name} --`).sort(), [...longOptionsOf(name), '--help'].sort())
    }
    assert.deepEqual(inFish('gba-proxy ue --profile ').sort(), PROFILE_NAMES.toSorted())
    assert.deepEqual(inFish('gba-proxy serve -c a'), ['a file.yaml'])
  })

  peerTest('in zsh offers subcommands, options and choices', ['zsh'], () => {
    // In a terminal of its own, since zsh completes in no other. TAB twice lists what there is; then it is read until
    // every word has come, or the time is over.
    const script = `
      zmodload zsh/zpty; zpty -b inner "zsh -f -i"; text=
      await() {
        local word chunk
        for word in "$@"; do
          until [[ $text == *$word* ]]; do
            if zpty -r -t inner chunk; then text+=$chunk; else sleep 0.05; fi
          done
        done
      }
      zpty -w inner "autoload -U compinit; compinit -D -u; source $1; LISTMAX=0; print up\${:-}now"
      await upnow; text=
      zpty -w -n inner "$2"$'\t\t'
      await "\${@[3,-1]}"`
    const inZsh = (line: string, words: readonly string[]) =>
      execFileSync('zsh', ['-f', '-c', script, 'zsh', scripts.zsh ?? '', line, ...words], {
        cwd: directory,
        timeout: 20_000,
      })
    inZsh('gba-proxy ', Object.keys(COMMANDS))
    inZsh('gba-proxy health --', longOptionsOf('health'))
    inZsh('gba-proxy ue --profile ', PROFILE_NAMES)
  })

  test('is for bash, zsh and fish', async () => {
    for (const args of [[], ['tcsh'], ['bash', 'zsh']]) {
      const { code, stdout } = await cli('completion', ...args)
      assert.deepEqual([code, stdout], [2, ''])
    }
  })
})
