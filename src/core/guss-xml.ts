import type { Guss, Uss } from './guss.ts'
import { parseImpi } from './identity.ts'
import { allOf, ussOf } from './uss.ts'
import { attributeValue, childElements, escapeXml, parseXml, textContent, type XmlElement } from './xml.ts'

/** Namespace that we write; on reading any will do. @see 3GPP TS 29.109 Annex A (Rel-17) */
export const GUSS_NAMESPACE = 'urn:3gpp:gba:GBAGUSSSchema-R9:2010-02'

/**
 * Reads a GUSS by local names, whatever the namespace; unknown elements are ignored.
 * Deviation: some HSSs send it with no namespace or that of an older release.
 * @param text  at most 256 KiB
 * @returns undefined when malformed
 * @see 3GPP TS 29.109 Annex A (Rel-17)
 */
export function parseGussXml(text: string): Guss | undefined {
  const root = parseXml(text, LIMITS)
  if (root?.local !== 'guss') return undefined
  const [bsfInfo, list] = [optionalChild(root, 'bsfInfo'), optionalChild(root, 'ussList')]
  if (bsfInfo === null || list === null) return undefined
  const [uiccType, lifeTime] = [optionalText(bsfInfo, 'uiccType'), optionalText(bsfInfo, 'lifeTime')]
  const impi = parseImpi(attributeValue(root, 'id') ?? '')
  const ussList = list ? readUssList(list) : []
  const keyLifetimeS = lifeTime === undefined ? undefined : numberOf(lifeTime ?? '')
  if (!impi || !ussList || (lifeTime !== undefined && !keyLifetimeS)) return undefined
  if (uiccType !== undefined && uiccType !== 'GBA' && uiccType !== 'GBA_U') return undefined
  return { impi, uiccType: uiccType ?? 'GBA', ...(keyLifetimeS && { keyLifetimeS }), ussList }
}

/**
 * Reads the ussList that stands alone on Zn, under the same rules as a GUSS.
 * @see 3GPP TS 29.109 Annex A (Rel-17)
 */
export function parseUssListXml(text: string): Uss[] | undefined {
  const root = parseXml(text, LIMITS)
  return root?.local === 'ussList' ? readUssList(root) : undefined
}

/** Writes a GUSS as it comes from the HSS. @see 3GPP TS 29.109 Annex A (Rel-17) */
export function formatGussXml({ impi, uiccType, keyLifetimeS, ussList }: Guss): string {
  const lifeTime = keyLifetimeS === undefined ? '' : `<lifeTime>${keyLifetimeS}</lifeTime>`
  return [
    DECLARATION,
    `<guss xmlns="${GUSS_NAMESPACE}" id="${escapeXml(impi)}">`,
    `<bsfInfo><uiccType>${uiccType}</uiccType>${lifeTime}</bsfInfo>`,
    `<ussList>${ussList.map(writeUss).join('')}</ussList></guss>`,
  ].join('')
}

/** Writes the ussList that stands alone on Zn. @see 3GPP TS 29.109 Annex A (Rel-17) */
export const formatUssListXml = (ussList: readonly Uss[]): string =>
  `${DECLARATION}<ussList xmlns="${GUSS_NAMESPACE}">${ussList.map(writeUss).join('')}</ussList>`

const LIMITS = { maxBytes: 256 * 1024, maxDepth: 16 }
const DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'

const readUssList = (list: XmlElement): Uss[] | undefined => allOf(childElements(list, 'uss').map(readUss))

function readUss(uss: XmlElement): Uss | undefined {
  const [uids, flags] = [optionalChild(uss, 'uids'), optionalChild(uss, 'flags')]
  const keyChoice = optionalText(uss, 'keyChoice')
  if (uids === null || flags === null || keyChoice === null) return undefined
  return ussOf({
    gsid: numberOf(attributeValue(uss, 'id') ?? ''),
    gsType: numberOf(attributeValue(uss, 'type') ?? ''),
    uids: uids ? childElements(uids, 'uid').map(textContent) : [],
    flags: flags ? childElements(flags, 'flag').map((flag) => numberOf(textContent(flag) ?? '')) : [],
    nafGroup: attributeValue(uss, 'nafGroup'),
    // Reading: how Annex A spells the values is not known to us; "ME-based key" and ME_BASED_KEY read alike.
    keyChoice: keyChoice?.toUpperCase().replace(/[- ]/g, '_'),
  })
}

function writeUss({ gsid, gsType, uids, flags, nafGroup, keyChoice }: Uss): string {
  const group = nafGroup === undefined ? '' : ` nafGroup="${escapeXml(nafGroup)}"`
  const flagList = flags.map((flag) => `<flag>${flag}</flag>`).join('')
  return [
    `<uss id="${gsid}" type="${gsType}"${group}>`,
    `<uids>${uids.map((uid) => `<uid>${escapeXml(uid)}</uid>`).join('')}</uids>`,
    flagList && `<flags>${flagList}</flags>`,
    keyChoice ? `<keyChoice>${keyChoice}</keyChoice>` : '',
    '</uss>',
  ].join('')
}

/** @returns undefined for none, null for several: nobody could tell which one counts */
function optionalChild(parent: XmlElement, local: string): XmlElement | undefined | null {
  const [first, second] = childElements(parent, local)
  return second ? null : first
}

/** @returns undefined for none, null for several or for one that has elements inside */
function optionalText(parent: XmlElement | undefined, local: string): string | undefined | null {
  const child = parent && optionalChild(parent, local)
  return child ? (textContent(child) ?? null) : child
}

const numberOf = (text: string): number | undefined => (/^[0-9]{1,10}$/.test(text) ? Number(text) : undefined)
