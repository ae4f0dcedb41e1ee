import { runCli } from '../../src/cli/index.ts'

/** A subcommand, run without a process of its own. */
export async function inProcess(args: readonly string[], stdin = '', signal = new AbortController().signal) {
  const [out, err]: [string[], string[]] = [[], []]
  const code = await runCli(args, {
    stdout: { write: (chunk) => out.push(Buffer.from(chunk).toString()) },
    stderr: { write: (chunk) => err.push(Buffer.from(chunk).toString()) },
    stdin: (async function* () {
      yield stdin
    })(),
    env: {},
    signal,
  })
  return { code, stdout: out.join(''), stderr: err.join('') }
}
