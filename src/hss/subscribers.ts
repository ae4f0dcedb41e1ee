import { type Section, YamlPlace } from '../config/yaml-place.ts'
import { fromHex, toHex } from '../core/bytes.ts'
import type { Guss, Uss } from '../core/guss.ts'
import { type Impi, type Impu, isTemporaryImpu, parseImpi, parseImpu, parseTmpi } from '../core/identity.ts'
import { deriveOpc } from '../core/milenage.ts'
import { Secret } from '../core/secret.ts'

/** What the home network keeps of one subscriber. */
export interface Subscriber {
  readonly impi: Impi
  /** 16 octets. */
  readonly k: Secret
  /** 16 octets. */
  readonly opc: Secret
  /** 2 octets. */
  readonly amf: Uint8Array
  /** Where the count starts, 6 octets: the first vector takes the next SQN. Later the SQN store knows. */
  readonly sqn: Uint8Array
  readonly impus: readonly SubscriberImpu[]
  readonly guss: Guss
}

export interface SubscriberImpu {
  readonly impu: Impu
  /** Not for use in public: never given out as a `uid`. */
  readonly barred: boolean
}

export type Subscribers = ReadonlyMap<Impi, Subscriber>

/**
 * Reads a subscriber file: `subscribers`, a list of sections with these keys.
 *
 * | key | is | default |
 * |---|---|---|
 * | `impi` | private identity | |
 * | `k` | 32 hex digits | |
 * | `opc` or `op` | 32 hex digits; exactly one of the two | |
 * | `amf` | 4 hex digits; the separation bit, which is for EPS and 5G, has no say here | `0000` |
 * | `sqn` | 12 hex digits, the last SQN given out before the first start | `000000000000` |
 * | `impus` | list of public identities: text, or `{ impu, barred }` | |
 * | `uss` | list of `{ gsid, type, nafGroup, flags, uids, keyChoice }` | none |
 * | `uiccType` | `GBA` or `GBA_U` | `GBA` |
 * | `keyLifetimeS` | seconds, overrides the BSF's key lifetime | the BSF's |
 *
 * In `uss`, `gsid` must be there; `type` is the GSID itself where that is a standard service (1 to 5), else 0;
 * `uids` are all identities of the subscriber that are neither barred nor temporary; `flags` are none.
 *
 * @param file what errors call the text
 * @throws ConfigError naming file, line, key and what is expected there; no value of the file is repeated in it
 */
export function loadSubscribers(yamlText: string, file: string): Subscribers {
  const { subscribers, given } = YamlPlace.root(yamlText, file).section(['subscribers'])
  const list = (subscribers ?? given.missing('subscribers', 'a list of subscribers')).list()
  const byImpi = new Map<Impi, Subscriber>()
  const owners = new Map<string, YamlPlace>()
  for (const place of list) {
    const subscriber = readSubscriber(place.section(SUBSCRIBER_KEYS), owners)
    byImpi.set(subscriber.impi, subscriber)
  }
  return byImpi
}

const SUBSCRIBER_KEYS = ['impi', 'k', 'opc', 'op', 'amf', 'sqn', 'impus', 'uss', 'uiccType', 'keyLifetimeS'] as const
const USS_KEYS = ['gsid', 'type', 'nafGroup', 'flags', 'uids', 'keyChoice'] as const
const UINT32 = 0xffff_ffff

/** @param owners whose each identity is, over the whole file */
function readSubscriber(
  section: Section<(typeof SUBSCRIBER_KEYS)[number]>,
  owners: Map<string, YamlPlace>,
): Subscriber {
  const { given } = section
  const impiPlace = section.impi ?? given.missing('impi', IMPI)
  const impi = impiPlace.read((text) => (parseTmpi(text) ? undefined : parseImpi(text)), IMPI)
  claim(owners, impi, impiPlace)
  const k = (section.k ?? given.missing('k', hexDigits(16))).read(secret, hexDigits(16))
  const impus = (section.impus ?? given.missing('impus', 'a list of public identities')).list().map((place) => {
    const impu = readImpu(place)
    claim(owners, impu.impu, place)
    return impu
  })
  const keyLifetimeS = section.keyLifetimeS?.read(integer(1, UINT32), 'whole seconds, at least 1')
  return {
    impi,
    k,
    opc: readOpc(section, k),
    amf: section.amf?.read(octets(2), hexDigits(2)) ?? new Uint8Array(2),
    sqn: section.sqn?.read(startingSqn, `${hexDigits(6)}, below ffffffffffe0`) ?? new Uint8Array(6),
    impus,
    guss: {
      impi,
      uiccType: section.uiccType?.read(oneOf(['GBA', 'GBA_U']), 'GBA or GBA_U') ?? 'GBA',
      ...(keyLifetimeS !== undefined && { keyLifetimeS }),
      ussList: readUssList(section.uss?.list() ?? [], impus),
    },
  }
}

/** An identity belongs to one subscriber, and stands there once. */
function claim(owners: Map<string, YamlPlace>, identity: Impi | Impu, place: YamlPlace): void {
  const owner = owners.get(identity)
  if (owner !== undefined) place.fail(`is taken already, by ${owner.key} in line ${owner.line}`)
  owners.set(identity, place)
}

function readOpc({ op, opc, given }: Section<'op' | 'opc'>, k: Secret): Secret {
  if (op !== undefined && opc !== undefined) op.fail('must not stand beside opc: one of the two')
  if (op !== undefined) return deriveOpc(k, op.read(secret, hexDigits(16)))
  return (opc ?? given.missing('opc', `${hexDigits(16)}; or give op`)).read(secret, hexDigits(16))
}

function readImpu(place: YamlPlace): SubscriberImpu {
  if (!place.isSection()) return { impu: place.read(parseImpu, IMPU), barred: false }
  const { impu, barred, given } = place.section(['impu', 'barred'])
  return {
    impu: (impu ?? given.missing('impu', IMPU)).read(parseImpu, IMPU),
    barred: barred?.read(oneOf(['true', 'false']), 'true or false') === 'true',
  }
}

function readUssList(places: readonly YamlPlace[], impus: readonly SubscriberImpu[]): Uss[] {
  const ussList = places.map((place) => readUss(place.section(USS_KEYS), impus))
  const seen = new Set<string>()
  for (const [i, { gsid, nafGroup = '' }] of ussList.entries()) {
    const name = `${gsid} ${nafGroup}`
    if (seen.has(name)) places[i]?.fail('has the gsid and nafGroup of an earlier one')
    seen.add(name)
  }
  return ussList
}

function readUss(section: Section<(typeof USS_KEYS)[number]>, impus: readonly SubscriberImpu[]): Uss {
  const { gsid: gsidPlace, type, nafGroup, flags, uids, keyChoice, given } = section
  const gsid = (gsidPlace ?? given.missing('gsid', NUMBER)).read(integer(0, UINT32), NUMBER)
  const standardType = gsid <= 5 ? gsid : 0
  return {
    gsid,
    gsType: type?.read(integer(0, UINT32), NUMBER) ?? standardType,
    uids: uids?.list().map((place) => readUid(place, impus)) ?? impus.filter(mayBeUid).map(({ impu }) => impu),
    flags: flags?.list().map((place) => place.read(integer(0, UINT32), NUMBER)) ?? [],
    ...(nafGroup !== undefined && { nafGroup: nafGroup.read(groupName, 'a name of 1 to 64 printable characters') }),
    ...(keyChoice !== undefined && {
      keyChoice: keyChoice.read(oneOf(KEY_CHOICES), `one of ${KEY_CHOICES.join(', ')}`),
    }),
  }
}

function readUid(place: YamlPlace, impus: readonly SubscriberImpu[]): Impu {
  const uid = place.read(parseImpu, IMPU)
  const own = impus.find(({ impu }) => impu === uid) ?? place.fail('must be one of the impus of this subscriber')
  if (!mayBeUid(own)) place.fail('is barred or temporary, and such an identity is never asserted')
  return uid
}

const mayBeUid = ({ impu, barred }: SubscriberImpu): boolean => !barred && !isTemporaryImpu(impu)

const KEY_CHOICES = ['ME_BASED_KEY', 'UICC_BASED_KEY', 'ME_UICC_BASED_KEYS'] as const
const IMPI = 'a private identity, user@home-domain'
const IMPU = 'a public identity: a sip:, sips: or tel: URI'
const NUMBER = `a whole number from 0 to ${UINT32}`
const hexDigits = (octetCount: number): string => `${2 * octetCount} hexadecimal digits`

const octets =
  (count: number) =>
  (text: string): Uint8Array | undefined =>
    text.length === 2 * count && /^[0-9a-fA-F]+$/.test(text) ? fromHex(text) : undefined

function secret(text: string): Secret | undefined {
  const found = octets(16)(text)
  return found && new Secret(found)
}

/** The last SEQ is of no use: no vector could follow. */
function startingSqn(text: string): Uint8Array | undefined {
  const sqn = octets(6)(text)
  return sqn && toHex(sqn) < 'ffffffffffe0' ? sqn : undefined
}

const integer =
  (min: number, max: number) =>
  (text: string): number | undefined =>
    /^\d{1,10}$/.test(text) && Number(text) >= min && Number(text) <= max ? Number(text) : undefined

const oneOf =
  <const Word extends string>(words: readonly Word[]) =>
  (text: string): Word | undefined =>
    words.find((word) => word === text)

const groupName = (text: string): string | undefined => (/^[\x21-\x7e]{1,64}$/.test(text) ? text : undefined)
