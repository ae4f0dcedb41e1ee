import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { configOf } from './config/load.ts'
import type { Config } from './config/schema.ts'
import { toHex } from './core/bytes.ts'
import { type Fqdn, parseFqdn } from './core/identity.ts'
import { bsfFqdnOfImsi, impiOfImsi, temporaryImpuOf, xcapFqdnOfImpi } from './core/names.ts'
import { loadSubscribers } from './hss/subscribers.ts'
import { makeLabPki } from './tls/issue.ts'
import { writePki } from './tls/pki-files.ts'

/** Where the roles of a lab listen, all on loopback; 0 is any free port. */
export interface LabPorts {
  readonly ub: number
  readonly zn: number
  readonly ap: number
  readonly as: number
}

export const LAB_PORTS: LabPorts = { ub: 8080, zn: 8444, ap: 8443, as: 8085 }

const MNC_DIGITS = 2
const NAMES = ['alice', 'bob', 'carol'] as const
export type LabSubscriber = (typeof NAMES)[number]

const IMSIS: Readonly<Record<LabSubscriber, string>> = {
  alice: '001010000000001',
  bob: '001010000000002',
  carol: '001010000000003',
}

/** The names that the field's rules give to this home network. @see 3GPP TS 23.003 clauses 13.9 and 16.2 (Rel-18) */
export const LAB_DOMAIN = 'ims.mnc001.mcc001.3gppnetwork.org'
export const LAB_BSF: Fqdn = bsfFqdnOfImsi(IMSIS.alice, MNC_DIGITS)
export const LAB_NAF: Fqdn = xcapFqdnOfImpi(impiOfImsi(IMSIS.alice, MNC_DIGITS))
/** A second NAF name, for whoever wants to see that one bootstrap serves several. */
export const LAB_SECOND_NAF: Fqdn = named(`lists.${LAB_DOMAIN}`)
export const LAB_ZN_CLIENT: Fqdn = named('ap')

export const impuOf = (name: LabSubscriber): string => `sip:${name}@${LAB_DOMAIN}`

/**
 * Makes what a lab needs in one directory, as far as it is not there: certificates, three subscribers with random keys,
 * and a SIM file for each. A lab started again is the same lab.
 */
export async function prepareLab(directory: string, { randomBytes, now }: LabSources): Promise<void> {
  mkdirSync(join(directory, 'sims'), { recursive: true, mode: 0o700 })
  if (!existsSync(join(directory, 'certs', 'ca.pem'))) {
    const bsf = [LAB_BSF, named(`bsf.ims.${LAB_BSF.slice('bsf.'.length)}`)]
    const names = { bsf, naf: [LAB_NAF, LAB_SECOND_NAF], znClients: [{ name: LAB_ZN_CLIENT }] }
    await writePki(join(directory, 'certs'), await makeLabPki({ names, now, validDays: 365 }))
  }
  if (existsSync(join(directory, 'subscribers.yaml'))) return
  const subscribers = NAMES.map((name) => subscriberYaml(name, toHex(randomBytes(16)), toHex(randomBytes(16))))
  writePrivate(
    join(directory, 'subscribers.yaml'),
    `# Subscribers of the lab. Their keys are random; the SIM files beside are written from here.\nsubscribers:\n${subscribers.join('')}`,
  )
}

export interface LabSources {
  readonly randomBytes: (length: number) => Uint8Array
  readonly now: number
}

/** A SIM file for each subscriber, which also tells the UE emulator where this lab listens. */
export function writeSims(directory: string, addresses: { readonly ub: number; readonly ap: number }): void {
  const file = join(directory, 'subscribers.yaml')
  const subscribers = loadSubscribers(readFileSync(file, 'utf8'), file)
  for (const name of NAMES) {
    const impi = impiOfImsi(IMSIS[name], MNC_DIGITS)
    const subscriber = subscribers.get(impi)
    if (!subscriber) continue
    writePrivate(
      join(directory, 'sims', `${name}.yaml`),
      `# Written at every start of the lab.
imsi: '${IMSIS[name]}'
k: '${toHex(subscriber.k.expose())}'
opc: '${toHex(subscriber.opc.expose())}'
caFile: ../certs/ca.pem
connect:
  ${LAB_BSF}: '127.0.0.1:${addresses.ub}'
  ${LAB_NAF}: '127.0.0.1:${addresses.ap}'
  ${LAB_SECOND_NAF}: '127.0.0.1:${addresses.ap}'
`,
    )
  }
}

/** Ports of loopback that nobody uses at this moment. */
export async function freePorts(): Promise<LabPorts> {
  const servers = await Promise.all([0, 0, 0, 0].map(listening))
  const [ub = 0, zn = 0, ap = 0, as = 0] = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))))
  return { ub, zn, ap, as }
}

function listening(): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => resolve(server))
  })
}

/** Whoever tests a UE lets it bootstrap as often as it likes. */
export const LAB_LIMITS = { perImpi: { burst: 0 }, perSource: { burst: 0 } }

/** The configuration of a lab: all roles in one process, on loopback. */
export function labConfig(directory: string, ports: LabPorts, overrides: LabOverrides = {}): Config {
  const certs = join(directory, 'certs')
  const host = '127.0.0.1'
  return configOf(
    {
      log: { level: 'info', ...overrides.log },
      store: overrides.store ?? { kind: 'lmdb', directory: join(directory, 'state') },
      hss: { subscribersFile: join(directory, 'subscribers.yaml') },
      bsf: {
        names: [LAB_BSF, `bsf.ims.${LAB_BSF.slice('bsf.'.length)}`],
        zn: {
          host,
          port: ports.zn,
          tls: {
            certificateFile: join(certs, 'bsf.pem'),
            keyFile: join(certs, 'bsf.key'),
            clientCaFile: join(certs, 'ca.pem'),
          },
          nafs: [{ name: 'ap', certificate: { san: LAB_ZN_CLIENT }, fqdns: [LAB_NAF, LAB_SECOND_NAF], gsids: [2, 3] }],
        },
        ...overrides.bsf,
        ub: { host, port: ports.ub, limits: LAB_LIMITS, ...overrides.bsf?.ub },
      },
      ap: {
        host,
        port: ports.ap,
        tls: { certificateFile: join(certs, 'ap.pem'), keyFile: join(certs, 'ap.key') },
        nafs: [{ fqdn: LAB_NAF }, { fqdn: LAB_SECOND_NAF }],
        appServers: [{ name: 'lab', url: `http://${host}:${ports.as}` }],
        routes: [{ appServer: 'lab', doors: ['psk', 'digest'] }],
        ...overrides.ap,
        // The lab shows both qualities of protection; its UEs read a list.
        challenge: { qop: ['auth', 'auth-int'], ...overrides.ap?.challenge },
      },
      ...(overrides.admin && { admin: overrides.admin }),
      ...(overrides.traces && { traces: overrides.traces }),
      ...(overrides.as !== null && { as: { host, port: ports.as, ...overrides.as } }),
    },
    'the built-in configuration of the lab',
  )
}

/** Parts of the lab's configuration put in the place of its own; `as: null` leaves the XCAP server out. */
export interface LabOverrides {
  readonly log?: object
  readonly admin?: object
  readonly traces?: object
  /** undefined: in a folder of the lab. */
  readonly store?: object | undefined
  readonly bsf?: { readonly ub?: object; readonly [key: string]: unknown }
  readonly ap?: { readonly challenge?: object; readonly [key: string]: unknown }
  readonly as?: object | null
}

function subscriberYaml(name: LabSubscriber, k: string, opc: string): string {
  const imsi = IMSIS[name]
  const tel = `tel:+1555010000${imsi.slice(-1)}`
  // carol shows what must never be asserted: a barred identity, and the temporary one made from her IMSI
  const barred =
    name === 'carol'
      ? `      - { impu: '${temporaryImpuOf(imsi, MNC_DIGITS)}', barred: true }\n      - { impu: 'sip:carol.hidden@${LAB_DOMAIN}', barred: true }\n`
      : ''
  return `  - impi: ${impiOfImsi(imsi, MNC_DIGITS)}
    k: '${k}'
    opc: '${opc}'
    impus:
      - ${impuOf(name)}
      - '${tel}'
${barred}    uss:
      - { gsid: 3, type: 3, flags: [1] } # presence
      - { gsid: 2, type: 2 } # authentication proxy
`
}

function writePrivate(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600 })
}

function named(text: string): Fqdn {
  const fqdn = parseFqdn(text)
  if (!fqdn) throw new RangeError(`${text} is not a host name`)
  return fqdn
}
