import type { ServerResponse } from 'node:http'
import { type AdminDesk, type DecisionFilter, isWanted } from './calls.ts'

/** Octets that wait for a reader: what comes while there are more is lost to that reader, who is told. */
const MOST_WAITING = 262_144
/** An empty line now and then, for who would else wait for ever at a connection that is gone. */
const EMPTY_LINE_EVERY_MS = 15_000
const STUCK_AFTER_MS = 60_000

/**
 * Writes decisions as they are made, each as a line of JSON, until the reader goes. A reader who is slower than they are
 * holds up nobody: the next line that fits tells `{"lost":n}`.
 * @param onEnd  called once, when the reader is gone
 */
export function tailTo(response: ServerResponse, desk: AdminDesk, filter: DecisionFilter, onEnd: () => void): void {
  let lost = 0
  const isSlow = () => response.writableLength > MOST_WAITING
  const tellLost = () => {
    if (lost === 0 || isSlow()) return
    response.write(`${JSON.stringify({ lost })}\n`)
    lost = 0
  }
  const write = (line: string) => {
    tellLost()
    if (isSlow()) lost++
    else response.write(line)
  }
  response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' })
  response.flushHeaders()
  response.setTimeout(STUCK_AFTER_MS, () => response.destroy())
  const leave = desk.follow(
    (decision) => {
      if (isWanted(filter, decision)) write(`${JSON.stringify(decision)}\n`)
    },
    (count) => {
      lost += count
      tellLost()
    },
    filter,
  )
  const beat = setInterval(() => {
    if (response.writableLength === 0) response.write('\n')
  }, EMPTY_LINE_EVERY_MS).unref()
  response.on('drain', tellLost)
  response.once('close', () => {
    clearInterval(beat)
    leave()
    onEnd()
  })
  response.on('error', () => response.destroy())
}
