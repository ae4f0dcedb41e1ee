import { figure, type Results } from './results.ts'
import type { Peer } from './servers.ts'

const COLOURS: Readonly<Record<Peer, string>> = {
  'gba-proxy': '#1f6feb',
  before: '#f0a202',
  apache: '#d1495b',
  nginx: '#8d99ae',
  static: '#cdd3df',
}
const LABELS: Readonly<Record<Peer, string>> = {
  'gba-proxy': 'gba-proxy',
  before: 'gba-proxy before',
  apache: 'Apache with static Digest',
  nginx: 'nginx without authentication',
  static: 'nginx, documents of its own',
}
const [WIDTH, LEFT, RIGHT, BAR, GAP] = [860, 300, 120, 13, 14]

/** Bars of CPU time for a request, each load on a scale of its own, with the range of the rounds as a line. */
export function plot(results: Results, peers: readonly Peer[], caption: string): string {
  const parts: string[] = []
  let y = 58
  for (const [load, by] of Object.entries(results)) {
    const bars = peers.flatMap((peer) => {
      const found = figure(by[peer], 'cpuUs')
      return Number.isNaN(found.median) ? [] : [{ peer, ...found }]
    })
    const full = Math.max(...bars.map(({ max }) => max))
    const x = (value: number) => (LEFT + (value / full) * (WIDTH - LEFT - RIGHT)).toFixed(1)
    const middle = y + (bars.length * BAR) / 2 + 4
    parts.push(`<text x="${LEFT - 10}" y="${middle}" text-anchor="end">${escaped(load)}</text>`)
    for (const { peer, median, min, max } of bars) {
      const line = y + BAR / 2 - 0.5
      const width = (Number(x(median)) - LEFT).toFixed(1)
      parts.push(
        `<rect x="${LEFT}" y="${y}" width="${width}" height="${BAR - 2}" fill="${COLOURS[peer]}"/>`,
        `<line x1="${x(min)}" x2="${x(max)}" y1="${line}" y2="${line}" stroke="#333"/>`,
        `<text x="${Number(x(max)) + 6}" y="${y + BAR - 3}">${Math.round(median)} us</text>`,
      )
      y += BAR
    }
    y += GAP
  }
  const legend = peers.map((peer, i) => {
    const left = 20 + i * 205
    return `<rect x="${left}" y="32" width="11" height="11" fill="${COLOURS[peer]}"/><text x="${left + 16}" y="42">${LABELS[peer]}</text>`
  })
  const title = `<text x="20" y="20" font-size="14">CPU time of the server for one request</text>`
  const foot = `<text x="20" y="${y + 8}" fill="#555">${escaped(caption)}</text>`
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y + 20}" viewBox="0 0 ${WIDTH} ${y + 20}" ` +
    `font-family="sans-serif" font-size="11">\n<title>CPU time of the server for one request</title>\n<rect width="100%" height="100%" fill="#fff"/>\n` +
    `${[title, ...legend, ...parts, foot].join('\n')}\n</svg>\n`
  )
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
