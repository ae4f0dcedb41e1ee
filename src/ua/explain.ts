import { type EpochMs, fromBase64 } from '../core/bytes.ts'
import { hashBody } from '../core/digest.ts'
import type { DigestCredentials } from '../core/digest-header.ts'
import { type Impu, parseBtid } from '../core/identity.ts'
import { nafIdOf, type UaProtocolId } from '../core/naf-id.ts'
import type { Secret } from '../core/secret.ts'
import type { FaultCode } from '../errors.ts'
import { type Comparable, compare, credentialsOf } from './comparisons.ts'
import { type Finding, finding } from './finding.ts'
import { asSent, compute, type Guess, type KeyMaterial, nameOfId, type Recomputable } from './guess.ts'
import { fits } from './hypotheses.ts'

export type { Finding, FindingName } from './finding.ts'
export type { KeyMaterial } from './guess.ts'

export interface ExplainInput extends Recomputable, Comparable {
  /** X-3GPP-Intended-Identity. */
  readonly intended?: Impu
  /** Whose tree the target is in. */
  readonly xui?: Impu
  /** When the request arrived. */
  readonly at?: EpochMs
  /** What the AP has recorded. */
  readonly code?: FaultCode
}

/** Every intermediate for one key and one identifier. */
export interface Candidate {
  readonly label: string
  readonly uaProtocolId: UaProtocolId
  readonly nafId: Uint8Array
  readonly ksNaf: Secret
  /** As good as the key. */
  readonly ha1: string
  readonly ha2: string
  readonly response: string
  readonly fits: boolean
}

/**
 * Says why a request is refused, or that its response is right: compares what can be compared without a key, then
 * recomputes the response under ever more deviations, two at most, until one fits.
 * @returns at least one finding, in the order in which the AP would meet them; the first is the cause
 * @see RFC 7616 clause 3.4.1
 */
export function explain(input: ExplainInput): Finding[] {
  const credentials = credentialsOf(input.authorization)
  if ('name' in credentials) return [credentials]
  const compared = compare(input, credentials)
  const found = input.keys.length === 0 ? [] : withKey(input, credentials)
  const owner = found.find(({ key }) => key !== undefined)?.key ?? input.keys.find(({ expected }) => expected)
  const all = unique([
    ...compared,
    ...found.flatMap(({ findings }) => findings),
    ...onRecord(input.code),
    ...expiry(owner, input.at),
    ...foreign(input, owner),
  ])
  if (all.length === 0) return [NO_KEY]
  const wrong = all.filter(({ name }) => name !== 'right')
  return wrong.length > 0 ? wrong : all
}

/** What is on record needs no recomputing. */
export function onRecord(code: FaultCode | undefined): Finding[] {
  const found = code === undefined ? undefined : RECORDED[code]
  return found ? [found] : []
}

/** Every intermediate for each expected key and each identifier that the NAF takes, as the AP computes them. */
export function recompute(input: ExplainInput): Candidate[] {
  const credentials = credentialsOf(input.authorization)
  if ('name' in credentials) return []
  return asSent(input, credentials).map((guess) => {
    const { ksNaf, ha1, ha2, response } = compute(guess)
    const nafId = nafIdOf(input.nafFqdn, guess.uaProtocolId)
    const { label } = guess.key
    return {
      label,
      uaProtocolId: guess.uaProtocolId,
      nafId,
      ksNaf,
      ha1,
      ha2,
      response,
      fits: response === credentials.response,
    }
  })
}

const NO_KEY = finding(
  'right',
  'What can be judged without a key is right; with a key the response could be recomputed.',
  'possible',
)

const RECORDED: Partial<Record<FaultCode, Finding>> = {
  UA_REALM_WRONG: finding('realm-wrong', 'The AP did not find its own name in the realm.'),
  UA_URI_MISMATCH: finding('uri-mismatch', 'The AP found another uri in Authorization than the request target.'),
  UA_ALGORITHM_NOT_OFFERED: finding('algorithm', 'The algorithm is none that the AP had offered.'),
  UA_BTID_MALFORMED: finding('btid-wrong', 'The username is no B-TID.'),
  UA_KEY_EXPIRED: finding('key-expired', 'The key of this B-TID had expired when the request arrived.'),
  ZN_BTID_UNKNOWN: finding('key-expired', 'The BSF does not know the B-TID any more, or never did.', 'likely'),
  UA_NC_REUSED: finding('nc-reused', 'The response was right, but its nonce count had been used before.'),
  UT_IMPU_NOT_OWNED: finding('impu-foreign', "The intended identity is none of this subscriber's for the service."),
  UT_TREE_NOT_OWNED: finding('impu-foreign', "The tree in the path is another user's."),
}

interface Found {
  readonly key?: KeyMaterial
  readonly findings: readonly Finding[]
}

function withKey(input: ExplainInput, credentials: DigestCredentials): Found[] {
  const made = fits(input, credentials)
  if (made.length > 0) {
    return made.map(({ guess, deviations }) => ({
      key: guess.key,
      findings: deviations.length > 0 ? deviations.map(({ name, says }) => finding(name, says)) : [rightUnder(guess)],
    }))
  }
  const [expected] = input.keys.filter((key) => key.expected)
  const covered = credentials.qop === 'auth-int' && input.body.length > 0
  const keyWrong = finding(
    'key-wrong',
    expected
      ? `No deviation that was tried makes this response with ${expected.label}: the UE has another key.`
      : 'The B-TID belongs to another bootstrap than every key at hand, and none of them makes this response.',
    covered ? 'possible' : 'likely',
  )
  if (!covered || !expected) return [{ findings: [keyWrong] }]
  const digest = hashBody(credentials.algorithm ?? 'MD5', input.body).slice(0, 8)
  const received = `${input.body.length} octets with the digest ${digest}…`
  const says = `The response covers another body than the one received (${received}), or the key is another: a request with qop auth tells which.`
  return [{ findings: [finding('body-altered', says, 'likely'), keyWrong] }]
}

function rightUnder({ key, uaProtocolId }: Guess): Finding {
  const under = 'ksNaf' in key.material ? '' : ` and Ua security protocol identifier ${nameOfId(uaProtocolId)}`
  return finding('right', `The response is right, with ${key.label}${under}.`)
}

function expiry(key: KeyMaterial | undefined, at: EpochMs | undefined): Finding[] {
  if (key?.expiresAt === undefined || at === undefined || at < key.expiresAt) return []
  return [finding('key-expired', `The key expired at ${new Date(key.expiresAt).toISOString()}.`)]
}

function foreign({ intended, xui }: ExplainInput, owner: KeyMaterial | undefined): Finding[] {
  const { impus = [] } = owner ?? {}
  const isForeign = (impu: Impu | undefined) => impus.length > 0 && impu !== undefined && !impus.includes(impu)
  if (isForeign(intended)) return [finding('impu-foreign', `${intended} is none of this subscriber's identities.`)]
  if (!isForeign(xui)) return []
  const says = `The tree is that of ${xui}, none of this subscriber's identities: refused where ownership is owner.`
  return [finding('impu-foreign', says, 'likely')]
}

/** The RAND that a B-TID names. */
export function randOfBtid(username: string): Uint8Array | undefined {
  return parseBtid(username) && fromBase64(username.slice(0, username.indexOf('@')))
}

/** The first of each name. */
function unique(findings: readonly Finding[]): Finding[] {
  const names = new Map<string, Finding>()
  for (const each of findings) if (!names.has(each.name)) names.set(each.name, each)
  return [...names.values()]
}
