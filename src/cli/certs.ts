import { type Fqdn, parseFqdn } from '../core/identity.ts'
import type { Command } from './command.ts'
import { parseOptions, UsageError, wholeNumber } from './options.ts'

const DEFAULTS = {
  naf: ['xcap.ims.mnc001.mcc001.pub.3gppnetwork.org'],
  bsf: ['bsf.mnc001.mcc001.pub.3gppnetwork.org'],
  'zn-client': ['ap'],
}
const DAY_MS = 86_400_000

export const command: Command = {
  name: 'certs',
  summary: 'make, show and renew certificates for a lab',
  usage: `usage: gba-proxy certs make|show|renew [OPTION]...

  make    a CA, and from it a server certificate for the AP (ap.pem), one for the BSF's Zn server (bsf.pem)
          and a client certificate for each NAF that asks over Zn (zn-NAME.pem); keys beside them (.key, mode 0600)
  show    what the certificates of the folder say
  renew   fresh certificates and keys for the same names, from the CA that is there

  --dir DIRECTORY    folder of the files (default: certs)
  --naf FQDN         NAF host name; may come several times
                     (default: ${DEFAULTS.naf})
  --bsf FQDN         BSF host name; may come several times
                     (default: ${DEFAULTS.bsf})
  --zn-client NAME   client on Zn, its dNSName; may come several times (default: ${DEFAULTS['zn-client']})
  --days N           how long the certificates are good (default: 365)
  --force            make: replace what is there

For labs and tests; a network has a CA of its own.
Exit code: 0 done, 1 the folder is not as needed (nothing was written), 2 the command line is wrong.
`,
  async run(args, { stdout, stderr }) {
    const { values, positionals } = parseOptions(
      args,
      {
        dir: { type: 'string', default: 'certs' },
        naf: { type: 'string', multiple: true },
        bsf: { type: 'string', multiple: true },
        'zn-client': { type: 'string', multiple: true },
        days: { type: 'string', default: '365' },
        force: { type: 'boolean', default: false },
      },
      1,
    )
    const action = positionals[0]
    const validDays = wholeNumber(values.days, 'days', [1, 36_500])
    const { PkiFilesError, renewPki, showPki, writePki } = await import('../tls/pki-files.ts')
    const list = (files: readonly string[]) => stdout.write(files.map((file) => `${file}\n`).join(''))
    const now = Date.now()
    try {
      switch (action) {
        case 'make': {
          const names = {
            naf: fqdns(values.naf, 'naf'),
            bsf: fqdns(values.bsf, 'bsf'),
            znClients: fqdns(values['zn-client'], 'zn-client').map((name) => ({ name })),
          }
          const { makeLabPki } = await import('../tls/issue.ts')
          list(await writePki(values.dir, await makeLabPki({ names, now, validDays }), { overwrite: values.force }))
          return 0
        }
        case 'renew':
          for (const option of ['naf', 'bsf', 'zn-client'] as const) {
            if (values[option]) throw new UsageError(`--${option} is for make; renew keeps the names that are there`)
          }
          list(await renewPki(values.dir, now, validDays))
          return 0
        case 'show':
          for (const { file, subject, names, expiresAt, fingerprint256, byOurCa } of await showPki(values.dir)) {
            const days = Math.round((expiresAt - now) / DAY_MS)
            stdout.write(
              `${file}\n  subject      ${subject}\n${names && `  names        ${names}\n`}` +
                `  expires      ${new Date(expiresAt).toISOString()} (${days < 0 ? 'expired' : `in ${days} days`})\n` +
                `  issued by    ${byOurCa ? 'ca.pem of this folder' : 'another CA'}\n  fingerprint  ${fingerprint256}\n`,
            )
          }
          return 0
        default:
          throw new UsageError(action === undefined ? 'make, show or renew?' : `'${action}' is not make, show or renew`)
      }
    } catch (error) {
      if (!(error instanceof PkiFilesError)) throw error
      stderr.write(`${error.message}\n`)
      return 1
    }

    function fqdns(texts: string[] | undefined, option: keyof typeof DEFAULTS): Fqdn[] {
      return (texts ?? DEFAULTS[option]).map((text) => {
        const fqdn = parseFqdn(text)
        if (fqdn === undefined) throw new UsageError(`--${option} takes a host name, not '${text}'`)
        return fqdn
      })
    }
  },
}
