/** Why a document stays as it is; the body of a 409. `phrase` is for people and repeats nothing of the request. */
export type XcapError = { readonly phrase: string } & (
  | { readonly error: PlainError }
  /** `ancestor`: selector, in clear, of the closest ancestor that exists; '' for the document; undefined without one. */
  | { readonly error: 'no-parent'; readonly ancestor: string | undefined }
  /** `fields`: node selectors, counted by position, of what is there twice. */
  | { readonly error: 'uniqueness-failure'; readonly fields: readonly string[] }
)

type PlainError =
  | 'not-well-formed'
  | 'not-utf-8'
  | 'schema-validation-error'
  | 'not-xml-frag'
  | 'not-xml-att-value'
  | 'cannot-insert'
  | 'cannot-delete'
  | 'constraint-failure'

/** @see RFC 4825 clause 11.2 */
export const XCAP_ERROR_TYPE = 'application/xcap-error+xml'

/** @see RFC 4825 clause 15.2.1 */
export const XCAP_ERROR_NAMESPACE = 'urn:ietf:params:xml:ns:xcap-error'

/**
 * Body of a 409.
 * @param uriOf  URI of an element of the document, from its selector
 * @see RFC 4825 clause 11.2
 */
export function formatXcapError(failure: XcapError, uriOf: (selector: string) => string): string {
  const open = `${failure.error} phrase="${escapeXml(failure.phrase)}"`
  const content = detail(failure, uriOf)
  const element = content === '' ? `<${open}/>` : `<${open}>${content}</${failure.error}>`
  return `<?xml version="1.0" encoding="UTF-8"?>\n<xcap-error xmlns="${XCAP_ERROR_NAMESPACE}">${element}</xcap-error>\n`
}

/** Text made fit for element content and for attribute values in double quotation marks. */
export const escapeXml = (text: string): string =>
  text.replace(/[&<>"]/g, (character) => ESCAPES.get(character) ?? character)

function detail(failure: XcapError, uriOf: (selector: string) => string): string {
  switch (failure.error) {
    case 'no-parent':
      return failure.ancestor === undefined ? '' : `<ancestor>${escapeXml(uriOf(failure.ancestor))}</ancestor>`
    case 'uniqueness-failure':
      return failure.fields.map((field) => `<exists field="${escapeXml(field)}"/>`).join('')
    default:
      return ''
  }
}

const ESCAPES: ReadonlyMap<string, string> = new Map(
  Object.entries({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }),
)
