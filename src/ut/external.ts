import { fromBase64 } from '../core/bytes.ts'
import { type Btid, type Impi, type Impu, isTemporaryImpu, parseImpu } from '../core/identity.ts'
import { isWildcarded, wildcardMatcher } from '../core/wildcard.ts'
import { readingsOf } from './readings.ts'

/** What of a subscriber an application server outside the trust domain must not learn. */
export interface Withheld {
  /** undefined: the subscriber came without a bootstrap. */
  readonly btid: Btid | undefined
  /** undefined: the BSF does not give it out, and then only its general form can be looked for. */
  readonly impi: Impi | undefined
  /** Of a password; undefined: there is none, or it is no secret. */
  readonly username?: string | undefined
  /** Public identities, the ones it is told left out; wildcarded and temporary ones too. */
  readonly identities: readonly Impu[]
  /** What it is told. */
  readonly told: readonly Impu[]
}

export type Disclosure = 'a private identity' | 'another public identity' | 'more encodings than can be undone'

/**
 * Looks for withheld identities in whatever a reader may make of a text (`readingsOf`), whatever the letter case and
 * with any separators in between. Private are the IMPI, the IMSI, the B-TID and its RAND, and by their form the IMSI
 * of any subscriber in a 3GPP domain, any B-TID and any TMPI.
 * Reading: a public identity that shows as a part of what is told anyway (the number of `tel:+1` in `sip:+1@home`) is
 * no disclosure there; for a private one there is no such excuse.
 */
export function disclosureFinder(withheld: Withheld): (text: string) => Disclosure | undefined {
  const secrets = privateNeedles(withheld)
  const others = withheld.identities.flatMap(publicNeedles)
  const told = withheld.told.map(formsOf)
  const rand = Buffer.from(fromBase64(randTextOf(withheld.btid) ?? '') ?? []).toString('latin1')
  const wildcards = withheld.identities.filter(isWildcarded).flatMap((impu) => inLowerCase(impu) ?? [])
  const matchers = wildcards.map(wildcardMatcher)
  const ofWildcard = (impu: Impu | undefined) =>
    impu !== undefined &&
    !withheld.told.some((known) => inLowerCase(known) === impu) &&
    matchers.some((matches) => matches(impu))
  const inOne = (reading: string): Disclosure | undefined => {
    const forms = formsOf(reading)
    if (secrets.some(({ form, text }) => forms[form].includes(text))) return 'a private identity'
    if ((rand !== '' && reading.includes(rand)) || hasPrivateForm(forms)) return 'a private identity'
    if (others.some((other) => shows(forms, other, told))) return 'another public identity'
    return matchers.length > 0 && sipUrisIn(forms.plain).some(ofWildcard) ? 'another public identity' : undefined
  }
  return (text) => {
    const readings = readingsOf(text)
    if (!readings) return 'more encodings than can be undone'
    for (const reading of readings) {
      const disclosure = inOne(reading)
      if (disclosure) return disclosure
    }
    return undefined
  }
}

/** A text in lower case, and its letters and digits alone: there, separators and the alphabets of base64 are all one. */
interface Forms {
  readonly plain: string
  readonly folded: string
}

const formsOf = (text: string): Forms => ({ plain: text.toLowerCase(), folded: fold(text) })
const fold = (text: string): string => text.toLowerCase().replace(/[^a-z0-9]+/g, '')

/** What to look for, and in which form of a text. */
interface Needle {
  readonly form: keyof Forms
  readonly text: string
}

/** What folds to next to nothing would be found everywhere. */
function needleOf(text: string): Needle {
  const folded = fold(text)
  return folded.length < 7 ? { form: 'plain', text: text.toLowerCase() } : { form: 'folded', text: folded }
}

function privateNeedles({ btid, impi, username, identities }: Withheld): Needle[] {
  const temporary = identities.filter(isTemporaryImpu).map((impu) => impu.slice(impu.indexOf(':') + 1))
  const imsis = [impi ?? '', ...temporary].flatMap((text) => /^[0-9]{14,16}(?=@)/.exec(text)?.[0].slice(-15) ?? [])
  return [...imsis, randTextOf(btid) ?? [], impi ?? [], username ?? []].flat().map(needleOf)
}

/** The RAND in base64, as it stands in a B-TID. */
const randTextOf = (btid: Btid | undefined): string | undefined => btid?.split('@', 1)[0]

/** A SIP URI is told without its scheme, and a telephone number without its plus sign or domain. */
function publicNeedles(impu: Impu): Needle[] {
  if (isWildcarded(impu)) return []
  const [, scheme, name = '', host] = /^(sips?|tel):([^@;]+)(?:@([^;]+))?/.exec(impu) ?? []
  const number = /^\+?([0-9]{7,15})$/.exec(name)?.[1]
  const address = scheme === 'tel' ? impu : `${name}@${host}`
  return [needleOf(address), ...(number === undefined ? [] : [needleOf(number)])]
}

/** Whether a text has the needle somewhere else than inside of what is told. */
function shows(forms: Forms, { form, text: needle }: Needle, told: readonly Forms[]): boolean {
  const text = forms[form]
  for (let at = text.indexOf(needle); at >= 0; at = text.indexOf(needle, at + 1)) {
    const end = at + needle.length
    const covered = told.some(({ [form]: known }) => {
      const start = text.indexOf(known, Math.max(0, end - known.length))
      return start >= 0 && start <= at
    })
    if (!covered) return true
  }
  return false
}

const IMSI_FORM = /([0-9]{14,15})imsmnc([0-9]{3})mcc([0-9]{3})3gppnetworkorg/g
const BTID_FORM = /[a-z0-9+/_-]{22}==@/
const TMPI_FORM = 'tmpibsf3gppnetworkorg'

function hasPrivateForm({ plain, folded }: Forms): boolean {
  if (BTID_FORM.test(plain) || folded.includes(TMPI_FORM)) return true
  for (const [, digits = '', mnc = '', mcc = ''] of folded.matchAll(IMSI_FORM)) {
    // A telephone number may be as long; and of 15 digits, the first may be none of a shorter IMSI.
    for (const imsi of [digits, digits.slice(1)]) {
      if (imsi.startsWith(mcc + mnc) || (mnc.startsWith('0') && imsi.startsWith(mcc + mnc.slice(1)))) return true
    }
  }
  return false
}

/** Still canonical: the digits of an escape are in upper case. */
const inLowerCase = (uri: string): Impu | undefined => parseImpu(uri.toLowerCase())

function sipUrisIn(text: string): (Impu | undefined)[] {
  const uris = text.match(/sips?:[^\s"'<>@/?#]{1,200}@[a-z0-9.-]{1,253}/gi) ?? []
  return uris.map((uri) => inLowerCase(uri.replace(/[.-]+$/, '')))
}
