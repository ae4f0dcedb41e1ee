import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { ConfigError } from '../config/config-error.ts'
import { type Section, YamlPlace } from '../config/yaml-place.ts'
import { utf8 } from '../core/bytes.ts'
import { isTemporaryImpu, parseBtid, parseImpi, parseImpu, parseTmpi } from '../core/identity.ts'
import { Secret } from '../core/secret.ts'
import {
  type ApDigest,
  type ApSubscriber,
  type ApSubscribers,
  apSubscribers,
  type CertificateMark,
  type Ha1Algorithm,
  impiKey,
  markKey,
  usernameKey,
} from './ap-subscribers.ts'
import { type FollowedFile, followFile } from './followed-file.ts'
import { canonicalSan, canonicalSubject, type San } from './peer-certificate.ts'

export {
  type ApDigest,
  type ApSubscriber,
  type ApSubscribers,
  type CertificateMark,
  type Ha1Algorithm,
  ussListOf,
} from './ap-subscribers.ts'

/**
 * Reads a subscriber file of the proxy, and again each time it changes. A mistake in it, or its loss, changes nothing:
 * to take everybody away, empty it.
 * @param onMistake  told once of each change that could not be read
 * @param options    `warn` is told at each reading of what is unwise but works
 * @throws ConfigError when the first reading fails; a file that others can write is never read
 */
export function followApSubscribers(
  file: string,
  onMistake: (error: unknown) => void,
  options: { readonly warn?: (file: string, detail: string) => void; readonly everyMs?: number } = {},
): FollowedFile<ApSubscribers> {
  const read = () => parseApSubscribers(readPrivate(file, options.warn ?? (() => {})), file)
  return followFile(file, read, onMistake, options)
}

/**
 * Reads `subscribers`, a list of sections with these keys. An empty file has none.
 *
 * | key | is | default |
 * |---|---|---|
 * | `impi` | private identity | none |
 * | `impus` | list of the public identities that she may assert | |
 * | `gsids` | list of the GAA services that she may use | those of the route |
 * | `flags` | list of authorisation flags | none |
 * | `certificate` | exactly one of `fingerprint256`, `subject`, `san`; or a list of such sections | none |
 * | `digest` | `{ username, realm, ha1 }`, where `ha1` has hex under `MD5`, `SHA-256`, `SHA-512-256` | none |
 *
 * `subject` is as `openssl x509 -subject -nameopt RFC2253` prints it; `san` is `URI:…`, `DNS:…` or `email:…`.
 *
 * @param file what errors call the text
 * @throws ConfigError naming file, line, key and what is expected there; no value of the file is repeated in it
 */
export function parseApSubscribers(text: string, file: string): ApSubscribers {
  if (isEmpty(text)) return apSubscribers([])
  const { subscribers, given } = YamlPlace.root(text, file).section(['subscribers'])
  const list = (subscribers ?? given.missing('subscribers', 'a list of subscribers')).list()
  const taken: Taken = new Map()
  return apSubscribers(list.map((place) => readSubscriber(place.section(SUBSCRIBER_KEYS), taken)))
}

/** What is one subscriber's alone, over the whole file. */
type Taken = Map<string, YamlPlace>

const SUBSCRIBER_KEYS = ['impi', 'impus', 'gsids', 'flags', 'certificate', 'digest'] as const
const UINT32 = 0xffff_ffff
const HEX_DIGITS: Readonly<Record<Ha1Algorithm, number>> = { MD5: 32, 'SHA-256': 64, 'SHA-512-256': 64 }
const ALGORITHMS = ['MD5', 'SHA-256', 'SHA-512-256'] as const satisfies readonly Ha1Algorithm[]

function readSubscriber(section: Section<(typeof SUBSCRIBER_KEYS)[number]>, taken: Taken): ApSubscriber {
  const { given, certificate } = section
  const impi = section.impi?.read((text) => (parseTmpi(text) ? undefined : parseImpi(text)), IMPI)
  if (section.impi && impi !== undefined) claim(taken, `impi ${impiKey(impi)}`, section.impi)
  const impus = (section.impus ?? given.missing('impus', 'a list of public identities')).list().map((place) => {
    const impu = place.read(parseImpu, IMPU)
    if (isTemporaryImpu(impu)) place.fail('is a temporary identity, and such a one is never asserted')
    claim(taken, `impu ${impu}`, place)
    return impu
  })
  const gsids = section.gsids?.list().map(readNumber)
  const marks = certificate === undefined ? [] : certificate.isSection() ? [certificate] : certificate.list()
  return {
    ...(impi !== undefined && { impi }),
    impus,
    ...(gsids !== undefined && { gsids }),
    flags: section.flags?.list().map(readNumber) ?? [],
    certificates: marks.map((place) => readMark(place, taken)),
    ...(section.digest !== undefined && { digest: readDigest(section.digest, taken) }),
  }
}

function claim(taken: Taken, key: string, place: YamlPlace): void {
  const owner = taken.get(key)
  if (owner !== undefined) place.fail(`is taken already, by ${owner.key} in line ${owner.line}`)
  taken.set(key, place)
}

function readMark(place: YamlPlace, taken: Taken): CertificateMark {
  const { fingerprint256, subject, san, given } = place.section(['fingerprint256', 'subject', 'san'])
  const marks: CertificateMark[] = []
  if (fingerprint256) marks.push({ fingerprint256: fingerprint256.read(parseFingerprint, FINGERPRINT) })
  if (subject) marks.push({ subject: subject.read(canonicalSubject, SUBJECT) })
  if (san) marks.push({ san: san.read(parseSan, SAN) })
  const [mark, ...more] = marks
  if (mark === undefined || more.length > 0)
    return given.fail('must have exactly one of fingerprint256, subject and san')
  claim(taken, markKey(mark), place)
  return mark
}

function readDigest(place: YamlPlace, taken: Taken): ApDigest {
  const { username, realm, ha1, given } = place.section(['username', 'realm', 'ha1'])
  const name = {
    username: (username ?? given.missing('username', USERNAME)).read(parseUsername, USERNAME),
    realm: (realm ?? given.missing('realm', REALM)).read(parseRealm, REALM),
  }
  claim(taken, `username ${usernameKey(name)}`, place)
  const section = (ha1 ?? given.missing('ha1', 'a section of algorithms')).section(ALGORITHMS)
  const secrets = ALGORITHMS.flatMap((algorithm): [Ha1Algorithm, Secret][] => {
    const digits = HEX_DIGITS[algorithm]
    const secret = section[algorithm]?.read((text) => parseHa1(text, digits), `${digits} hexadecimal digits`)
    return secret === undefined ? [] : [[algorithm, secret]]
  })
  if (secrets.length === 0) section.given.fail(`must have one of ${ALGORITHMS.join(', ')}`)
  return { ...name, ha1: new Map(secrets) }
}

const IMPI = 'a private identity, user@home-domain'
const IMPU = 'a public identity: a sip:, sips: or tel: URI'
const NUMBER = `a whole number from 0 to ${UINT32}`
const FINGERPRINT = 'a SHA-256 fingerprint, 64 hexadecimal digits with or without colons'
const SUBJECT = 'a subject such as CN=carol,O=example, the last component first, of ASCII characters'
const SAN = 'URI:, DNS: or email: and a name; a sip:, sips: or tel: URI has to be a public identity'
const USERNAME = 'a username of 1 to 255 ASCII characters without quotation mark, backslash and colon, and no B-TID'
const REALM = 'a realm of 1 to 255 ASCII characters without quotation mark and backslash, and not one of GBA'

function readNumber(place: YamlPlace): number {
  const parse = (text: string) => (/^\d{1,10}$/.test(text) && Number(text) <= UINT32 ? Number(text) : undefined)
  return place.read(parse, NUMBER)
}

/** In the form of node:crypto. */
function parseFingerprint(text: string): string | undefined {
  const isOne = /^[0-9a-f]{64}$/i.test(text) || /^[0-9a-f]{2}(?::[0-9a-f]{2}){31}$/i.test(text)
  return isOne ? (text.toUpperCase().match(/[0-9A-F]{2}/g) ?? []).join(':') : undefined
}

function parseSan(text: string): San | undefined {
  const [, type, value = ''] = /^(URI|DNS|email):(.*)$/.exec(text) ?? []
  return type === 'URI' || type === 'DNS' || type === 'email' ? canonicalSan(type, value) : undefined
}

/** No B-TID: by its username alone it can be told whose key made a response. */
const parseUsername = (text: string): string | undefined =>
  /^[\x20-\x7e]{1,255}$/.test(text) && !/["\\:]/.test(text) && !parseBtid(text) ? text : undefined

/** A realm of GBA asks for another key. */
const parseRealm = (text: string): string | undefined =>
  /^[\x20-\x7e]{1,255}$/.test(text) && !/["\\]/.test(text) && !/3gpp-bootstrapping/i.test(text) ? text : undefined

const parseHa1 = (text: string, digits: number): Secret | undefined =>
  text.length === digits && /^[0-9a-f]+$/i.test(text) ? new Secret(utf8(text.toLowerCase())) : undefined

const isEmpty = (text: string): boolean => {
  const bare = text.split('\n').map((line) => line.replace(/(?:^|\s)#.*/, '').trim())
  return ['', '---', 'subscribers:', 'subscribers: []'].includes(bare.join(''))
}

/** Mode and text of one and the same file: who can write it can be anybody. */
function readPrivate(file: string, warn: (file: string, detail: string) => void): string {
  let descriptor: number | undefined
  try {
    descriptor = openSync(file, 'r')
    const { mode } = fstatSync(descriptor)
    if (mode & 0o022) throw new ConfigError({ file }, `can be written by others; run: chmod 600 ${file}`)
    const text = readFileSync(descriptor, 'utf8')
    if (mode & 0o044) warn(file, `is readable by others; run: chmod 600 ${file}`)
    return text
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    throw new ConfigError({ file }, 'cannot be read; an empty file has no subscribers', { cause })
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}
