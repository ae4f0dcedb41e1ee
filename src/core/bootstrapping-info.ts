import type { EpochMs } from './bytes.ts'
import { type Btid, parseBtid } from './identity.ts'
import { childElements, escapeXml, parseXml, textContent, type XmlElement } from './xml.ts'

/** What a BSF tells the UE at the end of a bootstrapping run. @see 3GPP TS 24.109 Annex C.1 (Rel-17) */
export interface BootstrappingInfo {
  readonly btid: Btid
  /** End of the key's lifetime. */
  readonly expiresAt: EpochMs
}

const NAMESPACE = 'uri:3gpp-gba'

/**
 * Writes the document. The lifetime is cut to whole seconds, so that no UE believes in a key that is gone.
 * @see 3GPP TS 24.109 Annex C.1 (Rel-17)
 */
export function formatBootstrappingInfo({ btid, expiresAt }: BootstrappingInfo): string {
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<BootstrappingInfo xmlns="${NAMESPACE}">`,
    `<btid>${escapeXml(btid)}</btid>`,
    `<lifetime>${new Date(expiresAt).toISOString().slice(0, -5)}Z</lifetime>`,
    '</BootstrappingInfo>\n',
  ].join('\n')
}

/**
 * Reads the document; elements of other names or namespaces are ignored.
 * Reading: instants without `Z` are refused, as the annex has them in UTC; fractions of a second occur in the field.
 * @param text  at most 16 KiB
 * @returns `currentTime` where the BSF sent a readable one in Extension; undefined when malformed
 * @see 3GPP TS 24.109 Annex C.1 (Rel-17)
 */
export function parseBootstrappingInfo(
  text: string,
): (BootstrappingInfo & { readonly currentTime?: EpochMs }) | undefined {
  const root = parseXml(text, { maxBytes: 16 * 1024 })
  if (root?.local !== 'BootstrappingInfo' || root.ns !== NAMESPACE) return undefined
  const btid = parseBtid(only(root, 'btid') ?? '')
  const expiresAt = parseUtc(only(root, 'lifetime') ?? '')
  if (btid === undefined || expiresAt === undefined) return undefined
  const extension = ours(root, 'Extension').flatMap((element) => ours(element, 'currenttime'))[0]
  const currentTime = extension && parseUtc(textContent(extension) ?? '')
  return { btid, expiresAt, ...(currentTime !== undefined && { currentTime }) }
}

const ours = (parent: XmlElement, local: string): XmlElement[] =>
  childElements(parent, local).filter((child) => child.ns === NAMESPACE)

/** Text of the one element of that name: of two, nobody could tell which one counts. */
function only(parent: XmlElement, local: string): string | undefined {
  const [first, second] = ours(parent, local)
  return first && !second ? textContent(first) : undefined
}

/** An instant like 2026-11-21T22:00:00.5Z, cut to milliseconds; days that no calendar has are refused. */
function parseUtc(text: string): EpochMs | undefined {
  const [, seconds, fraction = ''] = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,12}))?Z$/.exec(text) ?? []
  if (seconds === undefined) return undefined
  const instant = Date.parse(`${seconds}.${fraction.slice(0, 3).padEnd(3, '0')}Z`)
  return !Number.isNaN(instant) && new Date(instant).toISOString().startsWith(seconds) ? instant : undefined
}
