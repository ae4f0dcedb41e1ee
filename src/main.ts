#!/usr/bin/env node
// Nothing is imported before the version is known: an older Node would stop at syntax or modules that it lacks.
const NODE_MAJOR = 24

if (Number(process.versions.node.split('.')[0]) < NODE_MAJOR) {
  process.stderr.write(
    `gba-proxy needs Node ${NODE_MAJOR} or newer; this is ${process.version} (${process.execPath}).\n` +
      'In a clone, npm scripts bring their own: npm start, npm run gba-proxy -- --help. Elsewhere install Node 24 LTS.\n',
  )
  process.exitCode = 2
} else {
  const stopping = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      // the second one means it
      if (stopping.signal.aborted) process.exit(signal === 'SIGINT' ? 130 : 143)
      stopping.abort()
    })
  }
  // a reader that has gone away (`| head`) is not an error of ours
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit(0)
  })
  const { runCli } = await import('./cli/index.ts')
  process.exitCode = await runCli(process.argv.slice(2), {
    env: process.env,
    stdout: process.stdout,
    stderr: process.stderr,
    // opened when it is read
    get stdin() {
      return process.stdin
    },
    signal: stopping.signal,
  })
}

export {}
