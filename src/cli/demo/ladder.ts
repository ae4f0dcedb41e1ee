import type { AuditEvent, AuditRecord } from '../../observe/audit.ts'
import type { UeExchange } from '../../ue/message.ts'

const COLUMNS = ['UE', 'AP', 'BSF', 'HSS', 'AS'] as const
type Column = (typeof COLUMNS)[number]

const GAP = 12
const WIDTH = GAP * (COLUMNS.length - 1)

/** The message sequence chart of a running lab: one line for each message, with its reference point. */
export class Ladder {
  readonly #print: (line: string) => void
  /** What happened behind AP and BSF while the UE waits for its answer. */
  #behind: string[] = []

  constructor(print: (line: string) => void) {
    this.#print = print
  }

  step(title: string): void {
    this.#print('')
    this.#print(title)
    this.#print(`  ${COLUMNS.map((name) => name.padEnd(GAP)).join('')}`.trimEnd())
  }

  /** One exchange of the UE; the observer tells it once the answer is there. */
  exchanged({ to, interface: point, request, response, note }: UeExchange): void {
    const target = request.target.length > 60 ? `${request.target.slice(0, 57)}...` : request.target
    this.#print(arrow('UE', to, point, `${request.method} ${target}`))
    for (const line of this.#behind) this.#print(line)
    this.#behind = []
    this.#print(arrow(to, 'UE', point, `${response.status} ${response.reason}: ${note}`))
  }

  /** What a role decided. */
  decided(event: AuditEvent, record: AuditRecord): void {
    if (event === 'zh.av-drawn') {
      this.#behind.push(arrow('BSF', 'HSS', 'Zh', 'vector for the IMPI'))
      this.#behind.push(arrow('HSS', 'BSF', 'Zh', 'RAND, AUTN, XRES, CK, IK and user security settings'))
    } else if (event === 'zn.fetched') {
      this.#behind.push(arrow('AP', 'BSF', 'Zn', `key by B-TID for NAF_Id …${record.uaProtocolId ?? ''}`))
      const answer = record.code === undefined ? 'Ks_NAF, expiry, USS: the IMPUs of this subscriber' : record.code
      this.#behind.push(arrow('BSF', 'AP', 'Zn', answer))
    } else if (event === 'ut.forwarded') {
      this.#behind.push(arrow('AP', 'AS', 'Ut', `${record.method} as ${record.impus?.join(', ')}`))
      this.#behind.push(arrow('AS', 'AP', 'Ut', `${record.status}`))
    } else if (event === 'ut.refused' && record.status !== 401) {
      this.#behind.push(`  ${' '.repeat(GAP)}× ${record.code}: nothing is forwarded`)
    }
  }

  close(sentence: string): void {
    this.#print('')
    this.#print(sentence)
  }

  verdict(right: boolean, what: string): void {
    this.#print(`  ${right ? 'ok' : 'NOT OK'}: ${what}`)
  }
}

function arrow(from: Column, to: Column, point: string, text: string): string {
  const a = COLUMNS.indexOf(from) * GAP
  const b = COLUMNS.indexOf(to) * GAP
  const [left, right] = a < b ? [a, b] : [b, a]
  const label = ` ${point} `
  const shaft = '-'.repeat(right - left - 2)
  const middle = Math.floor((shaft.length - label.length) / 2)
  const labelled = shaft.slice(0, middle) + label + shaft.slice(middle + label.length)
  const drawn = a < b ? `|${labelled}>` : `<${labelled}|`
  return `  ${(' '.repeat(left) + drawn).padEnd(WIDTH + 2)} ${text}`
}
