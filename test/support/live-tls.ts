import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import tls, { type ConnectionOptions, type Server, type TLSSocket } from 'node:tls'
import type { Fqdn } from '../../src/core/identity.ts'
import { type Issued, issueLeaf, type LabPki, makeLabPki } from '../../src/tls/issue.ts'
import type { ListenerFiles } from '../../src/tls/listener-files.ts'
import { followTls, type LiveTls, type LiveTlsSettings } from '../../src/tls/live.ts'
import { run } from './programs.ts'

/** A folder that goes with the test, and how to put a certificate with its key there. */
export function tlsFolder(t: Pick<TestContext, 'after'>) {
  const directory = mkdtempSync(join(tmpdir(), 'gba-live-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const path = (name: string) => join(directory, name)
  const put = (name: string, text: string | Uint8Array) => {
    writeFileSync(path(name), text, { mode: 0o600 })
    return path(name)
  }
  const putPair = (stem: string, { certificate, key }: Issued) => ({
    certificateFile: put(`${stem}.pem`, certificate),
    keyFile: put(`${stem}.key`, key),
  })
  return { directory, path, put, putPair }
}

export const labPki = (...naf: string[]): Promise<LabPki> =>
  makeLabPki({
    // Other leaves of the tests have P-256: both types have to be served side by side.
    names: {
      naf: naf as Fqdn[],
      bsf: [],
      serverKeyTypes: { ap: 'rsa', bsf: 'rsa' },
      znClients: [{ name: 'client' as Fqdn, keyType: 'rsa' }],
    },
    now: Date.now(),
    validDays: 90,
  })

/** A certificate of the same CA with an RSA key for these names; wildcards too. */
export const serverLeaf = (ca: Issued, ...names: string[]): Promise<Issued> =>
  issueLeaf(ca, { use: 'server', name: 'ap', fqdns: names as Fqdn[], keyType: 'rsa' }, Date.now(), 90)

/** A certificate with a P-256 key for one name; nobody can tell from it that it is for a server. */
export const p256Leaf = (ca: Issued, name: string): Promise<Issued> =>
  issueLeaf(ca, { use: 'client', name: name as Fqdn, keyType: 'p256' }, Date.now(), 90)

export interface ServedLive {
  readonly live: LiveTls
  readonly server: Server
  readonly port: number
  readonly mistakes: unknown[]
  readonly warnings: string[]
  readonly changes: (readonly string[])[]
  readonly refusals: string[]
  /** What the server knew of each client when its handshake was done: a socket that is closed knows nothing. */
  readonly peers: { readonly authorized: boolean; readonly serial: string | undefined }[]
  trustChanges: number
}

/** An HTTPS server that answers what it can say of the connection, for one test. */
export async function serveLive(
  t: Pick<TestContext, 'after'>,
  files: ListenerFiles,
  settings: Partial<LiveTlsSettings> = {},
  prepare: (server: Server) => void = () => {},
): Promise<ServedLive> {
  const told = { mistakes: [] as unknown[], warnings: [] as string[], changes: [] as (readonly string[])[] }
  const refusals: string[] = []
  const peers: ServedLive['peers'] = []
  const live = followTls(files, {
    warn: (file, detail) => told.warnings.push(`${file} ${detail}`),
    onMistake: (error) => told.mistakes.push(error),
    onChange: (changed) => told.changes.push(changed),
    onTrustChange: () => {
      served.trustChanges++
    },
    onRefused: (reason) => refusals.push(reason),
    everyMs: 60_000,
    ...settings,
  })
  const server = https.createServer(live.options(), (request, response) => {
    request.resume()
    const socket = request.socket as TLSSocket
    response.end(`${socket.isSessionReused() ? 'resumed' : 'new'} ${socket.servername || 'no name'}`)
  })
  const raws = new Set<Socket>()
  live.attach(server)
  prepare(server)
  server.on('connection', (raw: Socket) => {
    raws.add(raw)
    raw.once('close', () => raws.delete(raw))
  })
  server.on('secureConnection', (socket: TLSSocket) => {
    peers.push({ authorized: socket.authorized, serial: socket.getPeerX509Certificate()?.serialNumber })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    live.close()
    for (const raw of raws) raw.destroy()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const served: ServedLive = { live, server, port, ...told, refusals, peers, trustChanges: 0 }
  return served
}

export interface MetLive {
  readonly serial: string
  readonly protocol: string | null
  readonly body: string
  readonly resumed: boolean
  readonly session: Buffer | undefined
}

/** One request on a connection of its own. */
export function meetLive(port: number, options: ConnectionOptions): Promise<MetLive> {
  return new Promise((resolve, reject) => {
    let session: Buffer | undefined
    let answer = ''
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options }, () => {
      socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
    })
    const serial = () => socket.getPeerX509Certificate()?.serialNumber ?? ''
    let seen = ''
    socket.once('secureConnect', () => {
      seen = serial()
    })
    socket.on('session', (ticket) => {
      session = ticket
    })
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString()
    })
    socket.on('error', reject)
    socket.on('end', () => {
      const body = answer.split('\r\n\r\n')[1] ?? ''
      resolve({ serial: seen, protocol: socket.getProtocol(), body, resumed: socket.isSessionReused(), session })
      socket.destroy()
    })
    socket.on('close', () => reject(new Error('closed')))
  })
}

/**
 * What openssl keeps of a CA: which serial numbers are good and which are revoked. Makes lists and OCSP responses of it.
 * @param directory holds `ca.pem` and `ca.key`
 */
export function caIndex(directory: string) {
  const at = (name: string) => join(directory, name)
  const openssl = async (...args: string[]) => {
    const { status, stderr } = await run('openssl', args, { cwd: directory })
    if (status !== 0) throw new Error(`openssl ${args.join(' ')}: ${stderr}`)
  }
  /** Serial numbers in hexadecimal. */
  const write = (good: readonly string[], revoked: readonly string[]) => {
    const lines = [
      ...good.map((serial) => `V\t491231235959Z\t\t${serial}\tunknown\t/CN=good`),
      ...revoked.map((serial) => `R\t491231235959Z\t200101000000Z\t${serial}\tunknown\t/CN=revoked`),
    ]
    writeFileSync(at('index.txt'), lines.map((line) => `${line}\n`).join(''))
    writeFileSync(
      at('ca.cnf'),
      `[ca]\ndefault_ca = lab\n[lab]\ndatabase = ${at('index.txt')}\ndefault_md = sha256\nunique_subject = no\n`,
    )
  }
  return {
    async crl(name: string, revoked: readonly string[], ...args: string[]): Promise<string> {
      write([], revoked)
      const ca = ['-config', at('ca.cnf'), '-keyfile', at('ca.key'), '-cert', at('ca.pem')]
      await openssl('ca', '-gencrl', ...ca, '-crldays', '1', ...args, '-out', at(name))
      return at(name)
    },
    async ocsp(name: string, certificateFile: string, serials: { good?: string[]; revoked?: string[] }) {
      write(serials.good ?? [], serials.revoked ?? [])
      const request = ['-issuer', at('ca.pem'), '-cert', certificateFile, '-reqout', at('request.der')]
      await openssl('ocsp', ...request, '-no_nonce')
      const signer = ['-index', at('index.txt'), '-CA', at('ca.pem'), '-rsigner', at('ca.pem'), '-rkey', at('ca.key')]
      await openssl('ocsp', ...signer, '-reqin', at('request.der'), '-respout', at(name), '-ndays', '2')
      return at(name)
    },
  }
}
