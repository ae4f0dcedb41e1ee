import type { Command, CommandOption, Completable } from './command.ts'
import { type HelpBlock, helpBlocks, optionText } from './help.ts'
import { parseOptions, UsageError } from './options.ts'

const SHELLS = ['bash', 'zsh', 'fish'] as const

/** @param all every subcommand, this one too: what is completed comes from their own definitions */
export const completionCommand = (all: () => Promise<readonly Command[]>): Command => ({
  name: 'completion',
  summary: 'print what makes a shell complete this command line',
  usage: `usage: gba-proxy completion bash|zsh|fish

Prints a script with every subcommand, option and choice of this very version.

Exit code: 0 done, 2 the command line is wrong.

Files:
  /etc/bash_completion.d/gba-proxy                where bash looks for it
  /usr/local/share/zsh/site-functions/_gba-proxy  where zsh does
  ~/.config/fish/completions/gba-proxy.fish       where fish does

Examples:
  eval "$(gba-proxy completion bash)"
      in this shell only
  gba-proxy completion fish > ~/.config/fish/completions/gba-proxy.fish
      for good
`,
  options: {},
  positionals: [SHELLS],
  async run(args, { stdout }) {
    const { positionals } = parseOptions(args, {}, 1)
    const shell = SHELLS.find((name) => name === positionals[0])
    if (shell === undefined) {
      throw new UsageError(
        positionals[0] === undefined ? 'which shell?' : `'${positionals[0]}' is not bash, zsh or fish`,
      )
    }
    stdout.write(SCRIPTS[shell](await all()))
    return 0
  },
})

interface Flag {
  readonly long: string
  readonly short: string | undefined
  readonly option: CommandOption
  readonly text: string
}

function flagsOf({ options = {}, usage }: Command): Flag[] {
  const blocks: readonly HelpBlock[] = helpBlocks(usage)
  const own = Object.entries(options).flatMap(([long, option]) =>
    option.hidden ? [] : [{ long, short: option.short, option, text: optionText(blocks, long) ?? '' }],
  )
  return [...own, { long: 'help', short: undefined, option: { type: 'boolean' }, text: 'tell more' }]
}

const SCRIPTS: Readonly<Record<(typeof SHELLS)[number], (all: readonly Command[]) => string>> = { bash, zsh, fish }

const words = (takes: readonly string[]): string => takes.join(' ')

function bash(all: readonly Command[]): string {
  const reply = (takes: Completable | undefined) =>
    takes === undefined ? ':' : typeof takes === 'string' ? `_gba_proxy_${takes}` : `_gba_proxy_words '${words(takes)}'`
  const values = all.flatMap((command) =>
    flagsOf(command)
      .filter(({ option }) => option.type === 'string')
      .map(({ long, short, option }) => {
        const names = [`--${long}`, ...(short === undefined ? [] : [`-${short}`])]
        return `    ${names.map((name) => `${command.name}:${name}`).join('|')}) ${reply(option.takes)}; return ;;`
      }),
  )
  const options = all.map(({ name }, i) => {
    const flags = flagsOf(all[i] as Command).flatMap(({ long, short }) => [
      `--${long}`,
      ...(short === undefined ? [] : [`-${short}`]),
    ])
    return `    ${name}:-*) _gba_proxy_words '${words(flags)}' ;;`
  })
  const positionals = all.flatMap(({ name, positionals: takes = [] }) =>
    takes.map((one, at) => `    ${name}:${at + 1}) ${reply(one)} ;;`),
  )
  return `# bash completion of gba-proxy, made by 'gba-proxy completion bash'
_gba_proxy_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$word"); }
_gba_proxy_file() { compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$word"); }
_gba_proxy_directory() { compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$word"); }
_gba_proxy() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} name=\${COMP_WORDS[1]} at=0 i
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    _gba_proxy_words '${words(all.map(({ name }) => name))} --help --version'
    return
  fi
  # bash takes --name=value for three words
  if [[ $word == = ]]; then
    word=
  elif [[ $before == = ]]; then
    before=\${COMP_WORDS[COMP_CWORD-2]}
  fi
  case $name:$before in
${values.join('\n')}
  esac
  for ((i = 2; i <= COMP_CWORD; i++)); do [[ \${COMP_WORDS[i]} == -* ]] || ((at += 1)); done
  case $name:$word in
${options.join('\n')}
    *) case $name:$at in
${positionals.map((line) => `  ${line}`).join('\n')}
    esac ;;
  esac
}
complete -F _gba_proxy gba-proxy
`
}

/** For a text between single quotes in which `:`, `[` and `]` mean something. */
const zshText = (text: string): string => text.replace(/[:[\]\\]/g, '\\$&').replaceAll("'", "'\\''")

function zsh(all: readonly Command[]): string {
  const action = (takes: Completable | undefined) =>
    takes === undefined ? ' ' : takes === 'file' ? '_files' : takes === 'directory' ? '_files -/' : `(${words(takes)})`
  const cases = all.map((command) => {
    const flags = flagsOf(command).map(({ long, short, option, text }) => {
      const names = short === undefined ? [`--${long}`] : [`-${short}`, `--${long}`]
      const again = option.multiple ? "'*'" : names.length > 1 ? `'(${names.join(' ')})'` : ''
      const value = option.type === 'string' ? `:${long}:${action(option.takes)}` : ''
      const spelt = names.length > 1 ? `{${names.join(',')}}` : names[0]
      return `      ${again}${spelt}'[${zshText(text)}]${value}'`
    })
    const positionals = (command.positionals ?? []).map((takes, at) => `      '${at + 1}: :${action(takes)}'`)
    return `    ${command.name}) _arguments \\\n${[...flags, ...positionals].join(' \\\n')} ;;`
  })
  return `#compdef gba-proxy
# zsh completion of gba-proxy, made by 'gba-proxy completion zsh'
_gba_proxy() {
  local -a commands=(
${all.map(({ name, summary }) => `    '${name}:${zshText(summary)}'`).join('\n')}
  )
  if ((CURRENT == 2)); then
    _describe subcommand commands
    return
  fi
  shift words
  ((CURRENT -= 1))
  case $words[1] in
${cases.join('\n')}
  esac
}
if [[ $funcstack[1] == _gba-proxy ]]; then _gba_proxy "$@"; else compdef _gba_proxy gba-proxy; fi
`
}

const fishText = (text: string): string => `'${text.replace(/[\\']/g, '\\$&')}'`

function fish(all: readonly Command[]): string {
  // files are offered only where they are asked for
  const takesOf = (takes: Completable | undefined) =>
    takes === 'file'
      ? '-F'
      : takes === 'directory'
        ? `-f -a '(__fish_complete_directories)'`
        : `-f${takes === undefined ? '' : ` -a ${fishText(words(takes))}`}`
  const lines = all.flatMap((command) => {
    const seen = `complete -c gba-proxy -n '__fish_seen_subcommand_from ${command.name}'`
    return [
      `complete -c gba-proxy -n __fish_use_subcommand -a ${command.name} -d ${fishText(command.summary)}`,
      ...flagsOf(command).map(({ long, short, option, text }) => {
        const value = option.type === 'string' ? ` -r ${takesOf(option.takes)}` : ''
        return `${seen} -l ${long}${short === undefined ? '' : ` -s ${short}`}${value} -d ${fishText(text)}`
      }),
      ...(command.positionals ?? []).map((takes) => `${seen} ${takesOf(takes)}`),
    ]
  })
  return `# fish completion of gba-proxy, made by 'gba-proxy completion fish'
complete -c gba-proxy -f
${lines.join('\n')}
`
}
