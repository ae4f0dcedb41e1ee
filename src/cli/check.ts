import type { X509Certificate } from 'node:crypto'
import { access, constants } from 'node:fs/promises'
import { type ConfigChange, changesBetween, keysOf, needingRestart } from '../config/changes.ts'
import { ConfigError } from '../config/config-error.ts'
import { loadConfig } from '../config/load.ts'
import { type ApConfig, type Config, ROLES } from '../config/schema.ts'
import { readSubscribers } from '../hss/subscribers-file.ts'
import { readCa, readCredential, type TlsFiles, type Warn } from '../tls/files.ts'
import { upstreamTlsOptions } from '../tls/listener.ts'
import { readListenerFiles } from '../tls/listener-files.ts'
import { certificatesFor } from '../tls/sni.ts'
import { followDemands } from '../ua/demand-file.ts'
import { followApSubscribers } from '../ua/subscriber-file.ts'
import type { Command, OptionTable } from './command.ts'
import { needed, parseOptions } from './options.ts'

const DAY_MS = 86_400_000
const EXPIRY_NOTICE_DAYS = 14

const OPTIONS = {
  config: { type: 'string', short: 'c', takes: 'file' },
  against: { type: 'string', takes: 'file' },
} as const satisfies OptionTable

export const command: Command = {
  name: 'check',
  summary: 'say whether a configuration would start, without starting it',
  usage: `usage: gba-proxy check --config FILE [--against RUNNING]

Reads the configuration as 'gba-proxy serve' does, with the same verdict, and the files it names:
they have to be there, and certificates have to fit their keys and be in date.

  -c, --config FILE    the configuration (YAML)
      --against RUNNING
                       the configuration that a process runs with: says which keys differ, and whether that process
                       would take them over at a reload or needs a restart for them

Exit code: 0 it would start, and be taken over; 1 it would start, and needs a restart for what is different;
2 it would not start: standard error says why, as FILE:LINE: KEY: REASON.

Environment: as for 'gba-proxy serve'.

Examples:
  gba-proxy check --config /etc/gba-proxy/gba-proxy.yaml
      before every restart
  gba-proxy check -c new.yaml && mv new.yaml gba-proxy.yaml
      puts a configuration in place only if it would start
  gba-proxy check -c new.yaml --against gba-proxy.yaml && mv new.yaml gba-proxy.yaml
      only if the running process takes it over without a restart
`,
  options: OPTIONS,
  async run(args, { stdout, stderr, env }) {
    const { values } = parseOptions(args, OPTIONS)
    const file = needed(values.config, 'config')
    const config = await loadConfig(file, env)
    const warn: Warn = (about, detail) => stderr.write(`warning: ${about}: ${detail}\n`)
    await checkFiles(config, Date.now(), warn)
    stdout.write(`${file}: good; roles: ${ROLES.filter((role) => config[role]).join(', ')}\n`)
    if (values.against === undefined) return 0
    const changes = changesBetween(await loadConfig(values.against, env), config)
    stdout.write(`${file} after ${values.against}: ${comparison(changes)}\n`)
    return needingRestart(changes).length > 0 ? 1 : 0
  },
}

function comparison(changes: readonly ConfigChange[]): string {
  if (changes.length === 0) return 'the same'
  const restart = keysOf(needingRestart(changes))
  const live = keysOf(changes).filter((key) => !restart.includes(key))
  if (restart.length === 0) return `a reload takes over ${live.join(', ')}`
  return `a restart is needed for ${restart.join(', ')}${live.length > 0 ? `; not for ${live.join(', ')}` : ''}`
}

/**
 * Looks at every file that a configuration names.
 * @throws ConfigError naming the first one that would keep the process from starting
 */
export async function checkFiles(config: Config, now: number, warn: Warn): Promise<void> {
  const { admin, ap, bsf, hss } = config
  if (admin?.enabled && admin.tls) {
    checkPair(admin.tls, now, warn)
    readCa(admin.tls.clientCaFile)
  }
  if (hss) {
    await checkReadable(hss.subscribersFile, 'hss.subscribersFile')
    readSubscribers(hss.subscribersFile, warn)
  }
  if (ap) {
    checkListener(ap, now, warn)
    if (ap.rebootstrapFile !== '') followDemands(ap.rebootstrapFile, () => {}).close()
    for (const server of ap.appServers) if (server.url.startsWith('https:')) upstreamTlsOptions(server, warn)
    if (ap.subscribersFile !== '') followApSubscribers(ap.subscribersFile, () => {}, { warn }).close()
    if (ap.challenge.nonceKeyFile !== '') await checkReadable(ap.challenge.nonceKeyFile, 'ap.challenge.nonceKeyFile')
    if (ap.zn.adapter === 'http') {
      checkPair(ap.zn, now, warn)
      readCa(ap.zn.caFile)
    }
  }
  if (bsf?.zn) {
    checkPair(bsf.zn.tls, now, warn)
    readCa(bsf.zn.tls.clientCaFile)
  }
}

/** Every certificate that UEs may see, and what is to be believed of theirs. */
function checkListener({ nafs, subscriberCertificates, tls }: ApConfig, now: number, warn: Warn): void {
  const all = [tls, ...tls.certificates]
  const { caFile: clientCaFile = '', crlFile = '' } = subscriberCertificates ?? {}
  const { certificates } = readListenerFiles({ certificates: all, clientCaFile, crlFile }, warn)
  for (const { certificate, certificateFile } of certificates) checkEnd(certificate, certificateFile, now, warn)
  for (const { fqdn } of nafs) {
    if (certificatesFor(fqdn, certificates).length === 0) {
      warn(tls.certificateFile, `no certificate carries the NAF name ${fqdn}; UEs will refuse it`)
    }
  }
}

function checkPair(files: TlsFiles, now: number, warn: Warn): void {
  const { certificate } = readCredential(files, warn)
  checkEnd(certificate, files.certificateFile, now, warn)
}

function checkEnd({ validTo }: X509Certificate, file: string, now: number, warn: Warn): void {
  const end = Date.parse(validTo)
  if (end <= now) throw new ConfigError({ file }, `has expired on ${validTo}`)
  if (end - now < EXPIRY_NOTICE_DAYS * DAY_MS) warn(file, `expires on ${validTo}`)
}

async function checkReadable(file: string, key: string): Promise<void> {
  try {
    await access(file, constants.R_OK)
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown'
    throw new ConfigError({ file, key }, `cannot be read (${code})`, { cause })
  }
}
