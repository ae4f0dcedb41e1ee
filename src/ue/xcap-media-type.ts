/** Content types of XCAP documents by AUID. @see 3GPP TS 24.623 clause 6 (Rel-17) */
const DOCUMENT_TYPES: ReadonlyMap<string, string> = new Map([
  ['resource-lists', 'application/resource-lists+xml'],
  ['rls-services', 'application/rls-services+xml'],
  ['pres-rules', 'application/auth-policy+xml'],
  ['org.openmobilealliance.pres-rules', 'application/auth-policy+xml'],
  ['org.openmobilealliance.groups', 'application/vnd.oma.poc.groups+xml'],
  ['pidf-manipulation', 'application/pidf+xml'],
  ['simservs.ngn.etsi.org', 'application/vnd.etsi.simservs+xml'],
])

/**
 * What a body sent to this target must be, as far as the target tells.
 * @param target  request target, not decoded
 * @see RFC 4825 clauses 7.1 to 7.10 (2007)
 */
export function xcapMediaType(target: string): string | undefined {
  const [path = ''] = target.split('?')
  const [documentSelector = '', nodeSelector] = path.split('/~~/')
  if (nodeSelector !== undefined) {
    const last = nodeSelector.slice(nodeSelector.lastIndexOf('/') + 1)
    return /^(?:@|%40)/.test(last) ? 'application/xcap-att+xml' : 'application/xcap-el+xml'
  }
  const segments = documentSelector.split('/')
  const tree = segments.findIndex((segment) => segment === 'users' || segment === 'global')
  return DOCUMENT_TYPES.get(segments[tree - 1] ?? '')
}
