import assert from 'node:assert/strict'

/** One line of a Dockerfile, continuations joined. */
export interface Instruction {
  readonly name: string
  readonly flags: ReadonlyMap<string, string>
  readonly text: string
}

export interface Stage {
  readonly name: string
  readonly from: string
  readonly instructions: readonly Instruction[]
}

/** What is read here; anything else is an error, since nobody would go through it. */
const KNOWN = 'COPY RUN ENV WORKDIR USER VOLUME EXPOSE HEALTHCHECK ENTRYPOINT CMD'.split(' ')

export function parseDockerfile(text: string): Stage[] {
  const lines = text
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '')
  const stages: { name: string; from: string; instructions: Instruction[] }[] = []
  for (const line of lines) {
    const { name, flags, text: rest } = instructionOf(line)
    if (name === 'ARG' && stages.length === 0) continue
    if (name === 'FROM') {
      const [from = '', , as = `${stages.length}`] = rest.split(/\s+/)
      stages.push({ name: as, from, instructions: [] })
    } else {
      assert.ok(KNOWN.includes(name), `${name} is not known to this test`)
      ;(stages.at(-1) ?? assert.fail(`${name} before FROM`)).instructions.push({ name, flags, text: rest })
    }
  }
  return stages
}

function instructionOf(line: string): Instruction {
  const [name = '', ...words] = line.trim().split(/\s+/)
  const end = words.findIndex((word) => !/^--[a-z-]+=/.test(word))
  const flags = words.slice(0, end).map((word): [string, string] => {
    const [flag = '', value = ''] = word.slice(2).split(/=(.*)/)
    return [flag, value]
  })
  return { name, flags: new Map(flags), text: words.slice(end).join(' ') }
}

/** Of CMD, ENTRYPOINT and HEALTHCHECK, in the form without a shell, which is the only one that passes signals on. */
export function wordsOf(stage: Stage, name: string): string[] {
  const { text = '' } = stage.instructions.findLast((instruction) => instruction.name === name) ?? assert.fail(name)
  const words: unknown = JSON.parse(text.replace(/^CMD /, ''))
  assert.ok(Array.isArray(words) && words.every((word) => typeof word === 'string'))
  return words
}
