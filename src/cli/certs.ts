import { type Fqdn, isTemporaryImpu, parseFqdn, parseImpi, parseImpu, parseTmpi } from '../core/identity.ts'
import { isWildcarded } from '../core/wildcard.ts'
import type { KeyType, SubscriberNames } from '../tls/issue.ts'
import type { ShownCertificate } from '../tls/pki-files.ts'
import type { RevocationList } from '../tls/revoke.ts'
import type { Command, OptionTable } from './command.ts'
import { parseOptions, UsageError, wholeNumber } from './options.ts'

const DEFAULTS = {
  naf: ['xcap.ims.mnc001.mcc001.pub.3gppnetwork.org'],
  bsf: ['bsf.mnc001.mcc001.pub.3gppnetwork.org'],
  'zn-client': ['ap'],
}
const DAY_MS = 86_400_000
const ACTIONS = ['make', 'subscriber', 'show', 'renew', 'revoke', 'crl'] as const
type Action = (typeof ACTIONS)[number]

/** Options that only these actions take. */
const MAKERS: Readonly<Record<string, readonly Action[]>> = {
  naf: ['make'],
  bsf: ['make'],
  'zn-client': ['make'],
  subscriber: ['make', 'subscriber'],
  'server-key': ['make'],
  'client-key': ['make', 'subscriber'],
}

const OPTIONS = {
  dir: { type: 'string', default: 'certs', takes: 'directory' },
  naf: { type: 'string', multiple: true },
  bsf: { type: 'string', multiple: true },
  'zn-client': { type: 'string', multiple: true },
  subscriber: { type: 'string', multiple: true },
  'server-key': { type: 'string', takes: ['rsa', 'p256'] },
  'client-key': { type: 'string', takes: ['rsa', 'p256'] },
  days: { type: 'string', default: '365' },
  force: { type: 'boolean', default: false },
} as const satisfies OptionTable

export const command: Command = {
  name: 'certs',
  summary: 'make, show, renew and revoke certificates for a lab',
  usage: `usage: gba-proxy certs make|subscriber|show|renew|revoke|crl [FILE] [OPTION]...

  make          a CA, and from it a server certificate for the AP (ap.pem), one for the BSF's Zn server (bsf.pem),
                a client certificate for each NAF that asks over Zn (zn-NAME.pem), and one for each --subscriber
                (sub-NAME.pem); keys beside them (.key, mode 0600)
  subscriber    certificates for more subscribers, from the CA that is there
  show          what the certificates of the folder say, and which are revoked
  renew         fresh certificates and keys for the same names, from the CA that is there; not for revoked clients
  revoke FILE   takes a certificate of the folder back: writes ca.crl, or adds to it
  crl           writes ca.crl anew, good from now on; an empty one where there is none

  --dir DIRECTORY    folder of the files (default: certs)
  --naf FQDN         NAF host name; may come several times
                     (default: ${DEFAULTS.naf})
  --bsf FQDN         BSF host name; may come several times
                     (default: ${DEFAULTS.bsf})
  --zn-client NAME   client on Zn, its dNSName; may come several times (default: ${DEFAULTS['zn-client']})
  --subscriber NAME=IDENTITY[,IDENTITY]...
                     subscriber with a client certificate: sip:, sips: and tel: URIs, and a private identity as
                     user@domain; may come several times
  --server-key TYPE  keys of the AP and the BSF: p256 for ECDSA, which takes a server the least time, or rsa
                     (default: p256)
  --client-key TYPE  keys of Zn clients and subscribers: p256 or rsa (default: p256)
  --days N           how long the certificates, or the list of revoked ones, are good (default: 365)
  --force            make, subscriber: replace what is there

For labs and tests; a network has a CA of its own.

Exit code: 0 done, 1 the folder is not as needed (nothing was written), 2 the command line is wrong.

Examples:
  gba-proxy certs make --dir certs --naf xcap.example.org --bsf bsf.example.org
      all that a lab under these names needs
  gba-proxy certs subscriber --subscriber carol=sip:carol@example.org,tel:+15550100003
      a certificate for the door 'certificate'
  gba-proxy certs revoke sub-carol.pem
      and takes it back
`,
  options: OPTIONS,
  positionals: [ACTIONS, 'file'],
  async run(args, { stdout, stderr }) {
    const { values, positionals } = parseOptions(args, OPTIONS, 2)
    const action = actionOf(positionals)
    for (const [option, makers] of Object.entries(MAKERS)) {
      if (Object.hasOwn(values, option) && !makers.includes(action)) {
        throw new UsageError(`--${option} is for ${makers.join(' and ')}; ${action} keeps what is there`)
      }
    }
    const { dir, force } = values
    const validDays = wholeNumber(values.days, 'days', [1, 36_500])
    const serverKeyType = keyTypeOf('server-key', values['server-key'])
    const keyType = keyTypeOf('client-key', values['client-key'])
    const files = await import('../tls/pki-files.ts')
    const list = (written: readonly string[]) => stdout.write(written.map((file) => `${file}\n`).join(''))
    const now = Date.now()
    try {
      switch (action) {
        case 'make': {
          const names = {
            naf: fqdns(values.naf ?? DEFAULTS.naf, 'naf'),
            bsf: fqdns(values.bsf ?? DEFAULTS.bsf, 'bsf'),
            serverKeyTypes: { ap: serverKeyType, bsf: serverKeyType },
            znClients: fqdns(values['zn-client'] ?? DEFAULTS['zn-client'], 'zn-client').map((name) => ({
              name,
              keyType,
            })),
            subscribers: subscribers(values.subscriber ?? [], keyType, files.parseSubscriberName),
          }
          const { makeLabPki } = await import('../tls/issue.ts')
          list(await files.writePki(dir, await makeLabPki({ names, now, validDays }), { overwrite: force }))
          // a list of the CA that was replaced would refuse everybody
          if (await files.hasRevocations(dir)) {
            list(await files.writeRevocations(dir, { now, validDays, forget: true }))
          }
          return 0
        }
        case 'subscriber': {
          const more = subscribers(values.subscriber ?? [], keyType, files.parseSubscriberName)
          if (more.length === 0) throw new UsageError('--subscriber has to be given')
          list(await files.addSubscribers(dir, more, { now, validDays, overwrite: force }))
          return 0
        }
        case 'renew':
          list(await files.renewPki(dir, now, validDays))
          return 0
        case 'revoke': {
          const [, file] = positionals
          if (file === undefined) throw new UsageError('which file? for instance: certs revoke sub-NAME.pem')
          list(await files.writeRevocations(dir, { now, validDays, file }))
          return 0
        }
        case 'crl':
          list(await files.writeRevocations(dir, { now, validDays }))
          return 0
        case 'show': {
          const certificates = await files.showPki(dir)
          const revocations = await files.showRevocations(dir)
          for (const certificate of certificates) stdout.write(certificateText(certificate, now))
          if (revocations) stdout.write(revocationsText(revocations, now))
          return 0
        }
      }
    } catch (error) {
      if (!(error instanceof files.PkiFilesError)) throw error
      stderr.write(`${error.message}\n`)
      return 1
    }
  },
}

function actionOf([word, argument]: readonly string[]): Action {
  const action = ACTIONS.find((one) => one === word)
  const all = `${ACTIONS.slice(0, -1).join(', ')} or ${ACTIONS.at(-1)}`
  if (action === undefined) throw new UsageError(word === undefined ? `${all}?` : `'${word}' is not ${all}`)
  if (argument !== undefined && action !== 'revoke') throw new UsageError(`'${argument}' is one argument too many`)
  return action
}

function keyTypeOf(option: 'server-key' | 'client-key', text = 'p256'): KeyType {
  if (text === 'rsa' || text === 'p256') return text
  throw new UsageError(`--${option} takes p256 or rsa, not '${text}'`)
}

function fqdns(texts: readonly string[], option: keyof typeof DEFAULTS): Fqdn[] {
  return texts.map((text) => {
    const fqdn = parseFqdn(text)
    if (fqdn === undefined) throw new UsageError(`--${option} takes a host name, not '${text}'`)
    return fqdn
  })
}

function subscribers(
  texts: readonly string[],
  keyType: KeyType,
  parseName: (text: string) => string | undefined,
): SubscriberNames[] {
  const found = texts.map((text) => {
    const equals = text.indexOf('=')
    const name = parseName(equals < 0 ? text : text.slice(0, equals))
    if (name === undefined) {
      throw new UsageError(
        `--subscriber takes a name of small letters, digits, '.', '-' and '_', then '=', not '${text}'`,
      )
    }
    if (equals < 0) throw new UsageError(`--subscriber ${name}= and the identities of the subscriber`)
    return {
      name,
      sans: text
        .slice(equals + 1)
        .split(',')
        .map(identity),
      keyType,
    }
  })
  const twice = found.find(({ name }, i) => found.findIndex((other) => other.name === name) < i)
  if (twice) throw new UsageError(`--subscriber ${twice.name} comes twice`)
  return found
}

/** In canonical form, and none that the proxy would refuse in a certificate. */
function identity(text: string): string {
  const impu = parseImpu(text)
  const isPublic = impu !== undefined && !isTemporaryImpu(impu) && !isWildcarded(impu)
  const found = isPublic ? impu : parseTmpi(text) === undefined && !text.includes(':') ? parseImpi(text) : undefined
  if (found === undefined || !/^[\x21-\x7e]+$/.test(found)) {
    throw new UsageError(`--subscriber takes sip:, sips: and tel: URIs and user@domain, not '${text}'`)
  }
  return found
}

function certificateText(certificate: ShownCertificate, now: number): string {
  const { file, subject, names, expiresAt, fingerprint256, byOurCa, revokedAt } = certificate
  return (
    `${file}\n  subject      ${subject}\n${names && `  names        ${names}\n`}` +
    `  expires      ${instant(expiresAt, now)}\n` +
    `${revokedAt === undefined ? '' : `  revoked      ${new Date(revokedAt).toISOString()}\n`}` +
    `  issued by    ${byOurCa ? 'ca.pem of this folder' : 'another CA'}\n  fingerprint  ${fingerprint256}\n`
  )
}

function revocationsText({ number, thisUpdate, nextUpdate, revoked }: RevocationList, now: number): string {
  const serials = [...revoked]
    .map(([serial, at]) => `  revoked      ${new Date(at).toISOString()} ${serial}\n`)
    .join('')
  return (
    `ca.crl\n  number       ${number}\n  made         ${new Date(thisUpdate).toISOString()}\n` +
    `  expires      ${instant(nextUpdate, now)}\n${serials}`
  )
}

function instant(at: number, now: number): string {
  const days = Math.round((at - now) / DAY_MS)
  return `${new Date(at).toISOString()} (${days < 0 ? 'expired' : `in ${days} days`})`
}
