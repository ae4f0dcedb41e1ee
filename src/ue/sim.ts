import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, type YAMLMap } from 'yaml'
import { nearest, suggestion } from '../config/nearest.ts'
import { fromHex } from '../core/bytes.ts'
import { type Fqdn, type Impi, type Impu, parseImpi, parseImpu } from '../core/identity.ts'
import { deriveOpc } from '../core/milenage.ts'
import { bsfFqdnOfImpi, bsfFqdnOfImsi, impiOfImsi } from '../core/names.ts'
import { Secret } from '../core/secret.ts'
import { UeError } from './fault.ts'
import { type ConnectRule, parseConnectEntry, parseUeUrl, type UeUrl } from './url.ts'

/** What a UICC holds for GBA, and where the lab around it is. */
export interface Sim {
  readonly impi: Impi
  readonly impus: readonly Impu[]
  readonly k: Secret
  readonly opc: Secret
  /** Highest SQN the fresh card has accepted: 6 octets, for every IND. */
  readonly sqn: Uint8Array
  /** SQN per IND where it differs from `sqn`; position is the IND. */
  readonly ind: readonly Uint8Array[]
  /** Where Ub goes: given, or by the name rule on port 80. */
  readonly bsf: UeUrl
  readonly connect: readonly ConnectRule[]
  /** Trust anchors for Ua, absolute path. */
  readonly caFile?: string
}

/**
 * Reads a SIM file.
 * @throws UeError SIM_MALFORMED, naming file, line and key
 */
export async function loadSim(path: string): Promise<Sim> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    throw new UeError('SIM_MALFORMED', `${path}: cannot be read`, { cause })
  }
  return parseSim(text, path)
}

/**
 * Every scalar is read as text, so that a key or an IMSI of digits only needs no quotation marks.
 * @param path  stands in messages, and relative file names start beside it
 * @throws UeError SIM_MALFORMED
 */
export function parseSim(text: string, path: string): Sim {
  const lines = new LineCounter()
  const document = parseDocument(text, { schema: 'failsafe', lineCounter: lines, prettyErrors: false })
  const fault = (node: Node | null | undefined, what: string) => {
    const line = node?.range ? lines.linePos(node.range[0]).line : 1
    return new UeError('SIM_MALFORMED', `${path}:${line}: ${what}`)
  }
  const [broken] = document.errors
  if (broken) throw new UeError('SIM_MALFORMED', `${path}:${lines.linePos(broken.pos[0]).line}: ${broken.message}`)
  const root = document.contents
  if (!isMap(root)) throw fault(root, 'a SIM file is a map of keys')
  refuseUnknownKeys(root, fault)

  const nodeOf = (key: string) => root.get(key, true) as Node | undefined
  const textOf = (key: string): string | undefined => {
    const node = nodeOf(key)
    if (node === undefined) return undefined
    if (!isScalar(node) || typeof node.value !== 'string') throw fault(node, `${key}: one value expected`)
    return node.value
  }
  const parsed = <Value>(
    key: string,
    parse: (text: string) => Value | undefined,
    expected: string,
  ): Value | undefined => {
    const value = textOf(key)
    if (value === undefined) return undefined
    return parse(value) ?? refuse(fault(nodeOf(key), `${key}: ${expected} expected`))
  }
  const list = (key: string): string[] => {
    const node = nodeOf(key)
    if (node === undefined) return []
    if (!isSeq(node)) throw fault(node, `${key}: a list expected`)
    return node.items.map((item) =>
      isScalar(item) && typeof item.value === 'string'
        ? item.value
        : refuse(fault(node, `${key}: a list of texts expected`)),
    )
  }

  const imsi = parsed('imsi', (t) => (/^\d{6,15}$/.test(t) ? t : undefined), '6 to 15 digits')
  const mncDigits = parsed('mncDigits', (t) => (t === '2' ? 2 : t === '3' ? 3 : undefined), '2 or 3') ?? 2
  const impi = parsed('impi', parseImpi, 'a private identity user@domain') ?? (imsi && impiOfImsi(imsi, mncDigits))
  if (!impi) throw fault(root, 'impi or imsi is missing')
  const k = parsed('k', octets(16), '32 hex digits') ?? refuse(fault(root, 'k is missing'))
  const op = parsed('op', octets(16), '32 hex digits')
  const opc = parsed('opc', octets(16), '32 hex digits')
  if (op && opc) throw fault(nodeOf('op'), 'op: either opc or op, not both')
  if (!op && !opc) throw fault(root, 'opc (or op) is missing')
  parsed('amf', octets(2), '4 hex digits') // the network's; read so that a subscriber's file serves as a SIM
  const sqn = parsed('sqn', octets(6), '12 hex digits') ?? new Uint8Array(6)
  const ind = list('ind').map((t) => octets(6)(t) ?? refuse(fault(nodeOf('ind'), 'ind: 12 hex digits each expected')))
  if (ind.length > 32) throw fault(nodeOf('ind'), 'ind: 32 entries at most')
  const impus = list('impus').map(
    (t) => parseImpu(t) ?? refuse(fault(nodeOf('impus'), `impus: a sip: or tel: URI expected, not ${t}`)),
  )
  const bsf =
    parsed('bsf', urlOf, 'an http or https URL') ??
    urlOfName(imsi && !textOf('impi') ? bsfFqdnOfImsi(imsi, mncDigits) : bsfFqdnOfImpi(impi))
  const caFile = textOf('caFile')
  const key = new Secret(k)
  return {
    impi,
    impus,
    k: key,
    opc: opc ? new Secret(opc) : deriveOpc(key, new Secret(op ?? new Uint8Array(16))),
    sqn,
    ind,
    bsf,
    connect: connectRules(nodeOf('connect'), fault),
    ...(caFile !== undefined && { caFile: resolve(dirname(path), caFile) }),
  }
}

const KEYS = ['imsi', 'mncDigits', 'impi', 'impus', 'k', 'opc', 'op', 'amf', 'sqn', 'ind', 'bsf', 'connect', 'caFile']

type Fault = (node: Node | null | undefined, what: string) => UeError

function refuse(error: UeError): never {
  throw error
}

const octets =
  (length: number) =>
  (text: string): Uint8Array | undefined =>
    text.length === 2 * length && /^[0-9a-fA-F]+$/.test(text) ? fromHex(text) : undefined

function urlOf(text: string): UeUrl | undefined {
  try {
    return parseUeUrl(text)
  } catch {
    return undefined
  }
}

const urlOfName = (name: Fqdn): UeUrl => parseUeUrl(`http://${name}/`)

function refuseUnknownKeys(root: YAMLMap, fault: Fault): void {
  for (const { key } of root.items) {
    const name = isScalar(key) ? String(key.value) : ''
    if (!KEYS.includes(name)) throw fault(key as Node, `${name}: unknown key${suggestion(nearest(name, KEYS))}`)
  }
}

function connectRules(node: Node | undefined, fault: Fault): ConnectRule[] {
  if (node === undefined) return []
  if (!isMap(node)) throw fault(node, 'connect: a map of host[:port] to host:port expected')
  return node.items.map(({ key, value }) => {
    const rule = isScalar(key) && isScalar(value) && parseConnectEntry(String(key.value), String(value.value))
    return rule || refuse(fault(key as Node, 'connect: host[:port] to host:port expected'))
  })
}
