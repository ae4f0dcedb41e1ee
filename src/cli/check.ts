import { access, constants, readFile } from 'node:fs/promises'
import { ConfigError } from '../config/config-error.ts'
import { loadConfig } from '../config/load.ts'
import { type Config, ROLES } from '../config/schema.ts'
import { loadSubscribers } from '../hss/subscribers.ts'
import { readCa, readCredential, type TlsFiles, type Warn } from '../tls/files.ts'
import type { Command } from './command.ts'
import { needed, parseOptions } from './options.ts'

const DAY_MS = 86_400_000
const EXPIRY_NOTICE_DAYS = 14

export const command: Command = {
  name: 'check',
  summary: 'say whether a configuration would start, without starting it',
  usage: `usage: gba-proxy check --config FILE

Reads the configuration as 'gba-proxy serve' does, with the same verdict, and the files it names:
they have to be there, and certificates have to fit their keys and be in date.

  -c, --config FILE   the configuration (YAML)

Exit code: 0 it would start, 2 it would not; standard error says why, as FILE:LINE: KEY: REASON.
`,
  async run(args, { stdout, stderr, env }) {
    const { values } = parseOptions(args, { config: { type: 'string', short: 'c' } })
    const file = needed(values.config, 'config')
    const config = await loadConfig(file, env)
    const warn: Warn = (about, detail) => stderr.write(`warning: ${about}: ${detail}\n`)
    await checkFiles(config, Date.now(), warn)
    stdout.write(`${file}: good; roles: ${ROLES.filter((role) => config[role]).join(', ')}\n`)
    return 0
  },
}

/**
 * Looks at every file that a configuration names.
 * @throws ConfigError naming the first one that would keep the process from starting
 */
export async function checkFiles(config: Config, now: number, warn: Warn): Promise<void> {
  const { ap, bsf, hss } = config
  if (hss) {
    await checkReadable(hss.subscribersFile, 'hss.subscribersFile')
    loadSubscribers(await readFile(hss.subscribersFile, 'utf8'), hss.subscribersFile)
  }
  if (ap) {
    const certificate = checkPair(ap.tls, now, warn)
    for (const { fqdn } of ap.nafs) {
      if (certificate.checkHost(fqdn) === undefined) {
        warn(ap.tls.certificateFile, `does not carry the NAF name ${fqdn}; UEs will refuse it`)
      }
    }
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

function checkPair(files: TlsFiles, now: number, warn: Warn) {
  const { certificate } = readCredential(files, warn)
  const end = Date.parse(certificate.validTo)
  if (end <= now) throw new ConfigError({ file: files.certificateFile }, `has expired on ${certificate.validTo}`)
  if (end - now < EXPIRY_NOTICE_DAYS * DAY_MS) warn(files.certificateFile, `expires on ${certificate.validTo}`)
  return certificate
}

async function checkReadable(file: string, key: string): Promise<void> {
  try {
    await access(file, constants.R_OK)
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown'
    throw new ConfigError({ file, key }, `cannot be read (${code})`, { cause })
  }
}
