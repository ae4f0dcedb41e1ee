import type { App } from '../../src/app.ts'
import { expose } from '../../src/observe/exposition.ts'

/** Numbers of `/metrics`, by name and labels as they stand there. */
export type Scraped = ReadonlyMap<string, number>

/** Address of the admin listener in what `serve` says when it is up. */
export function adminPortIn(upLine: string): number {
  return Number(/admin [\w.:]+:(\d+)/.exec(upLine)?.[1] ?? 0)
}

/** What an admin listener answers. */
export async function ask(port: number, path: string, init?: RequestInit): Promise<{ status: number; text: string }> {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, init)
  return { status: answer.status, text: await answer.text() }
}

export const scrape = async (port: number): Promise<Scraped> => parseExposition((await ask(port, '/metrics')).text)

/** The same of an app in this process, which need not have such a listener. */
export const metricsOf = async (app: Pick<App, 'metrics'>): Promise<Scraped> =>
  parseExposition(await expose(await app.metrics()))

/** @throws Error for a line that is none of the format, and for one that comes twice */
export function parseExposition(text: string): Scraped {
  const numbers = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const [, name = '', value = ''] = /^([a-z_][\w:]*(?:\{.*\})?) (\S+)$/i.exec(line) ?? []
    if (name === '' || numbers.has(name)) throw new Error(`not to be understood: ${line}`)
    numbers.set(name, value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value))
  }
  return numbers
}

/** The sum of a metric over all its labels, or over those in which these words stand. */
export function sumOf(scraped: Scraped, metric: string, ...words: readonly string[]): number {
  let sum = 0
  for (const [name, value] of scraped) {
    if (name.replace(/\{.*/, '') === metric && words.every((word) => name.includes(`"${word}"`))) sum += value
  }
  return sum
}

/** Names of metrics that are there, without what a histogram adds to its own. */
export const namesIn = (scraped: Scraped): ReadonlySet<string> =>
  new Set(
    [...scraped.keys()].map((name) => name.replace(/\{.*/, '').replace(/_seconds_(?:bucket|sum|count)$/, '_seconds')),
  )

/**
 * Reads the tail of decisions until it is told to end.
 * @param query  further parts of it, each with its ampersand
 */
export async function followDecisions(port: number, query = '') {
  const stop = new AbortController()
  const answer = await fetch(`http://127.0.0.1:${port}/admin/decisions?follow=1${query}`, { signal: stop.signal })
  const lines: Record<string, unknown>[] = []
  const read = (async () => {
    let text = ''
    for await (const chunk of answer.body ?? []) {
      text += Buffer.from(chunk).toString()
      const whole = text.split('\n')
      text = whole.pop() ?? ''
      for (const line of whole) if (line !== '') lines.push(JSON.parse(line))
    }
  })().catch(() => {})
  return {
    answer,
    lines,
    async end() {
      stop.abort()
      await read
    },
  }
}
