import { escapeXml, XCAP_ERROR_NAMESPACE } from './xcap-error.ts'

/** What the server knows of one application usage. */
export interface ApplicationUsage {
  readonly auid: string
  readonly mimeType: string
  /** Namespace of node selector steps without prefix. */
  readonly defaultNamespace: string
  readonly root: { readonly ns: string; readonly local: string }
  /** Which attribute may stand only once: among the children of one parent. */
  readonly unique: readonly UniqueRule[]
  /** The one document, `global/index`, of a usage that the server itself writes. */
  readonly generated?: string
}

export interface UniqueRule {
  readonly ns: string
  readonly local: string
  /** An attribute without namespace. */
  readonly attribute: string
}

/** The application usages of this server, by AUID (case-sensitive). @see RFC 4825 clause 5.1 */
export function applicationUsages(): ReadonlyMap<string, ApplicationUsage> {
  const caps: ApplicationUsage = {
    auid: 'xcap-caps',
    mimeType: 'application/xcap-caps+xml',
    defaultNamespace: XCAP_CAPS,
    root: { ns: XCAP_CAPS, local: 'xcap-caps' },
    unique: [],
  }
  const all = [...USAGES, caps]
  return new Map([...USAGES, { ...caps, generated: capabilities(all) }].map((usage) => [usage.auid, usage]))
}

const XCAP_CAPS = 'urn:ietf:params:xml:ns:xcap-caps'
const RESOURCE_LISTS = 'urn:ietf:params:xml:ns:resource-lists'
const RLS_SERVICES = 'urn:ietf:params:xml:ns:rls-services'
const COMMON_POLICY = 'urn:ietf:params:xml:ns:common-policy'
const PRES_RULES = 'urn:ietf:params:xml:ns:pres-rules'
const PIDF = 'urn:ietf:params:xml:ns:pidf'
const OMA_LIST_SERVICE = 'urn:oma:xml:poc:list-service'
const OMA_PRES_CONTENT = 'urn:oma:xml:prs:pres-content'
const OMA_USER_PROFILE = 'urn:oma:xml:xdm:user-profile'
const SIMSERVS = 'http://uri.etsi.org/ngn/params/xml/simservs/xcap'

/** RFC 4826 clause 3.4.5: what no list may hold twice. */
const LIST_RULES: readonly UniqueRule[] = [
  { ns: RESOURCE_LISTS, local: 'list', attribute: 'name' },
  { ns: RESOURCE_LISTS, local: 'entry', attribute: 'uri' },
  { ns: RESOURCE_LISTS, local: 'entry-ref', attribute: 'ref' },
  { ns: RESOURCE_LISTS, local: 'external', attribute: 'anchor' },
]

const USAGES: readonly ApplicationUsage[] = [
  {
    auid: 'resource-lists',
    mimeType: 'application/resource-lists+xml',
    defaultNamespace: RESOURCE_LISTS,
    root: { ns: RESOURCE_LISTS, local: 'resource-lists' },
    unique: LIST_RULES,
  },
  {
    auid: 'rls-services',
    mimeType: 'application/rls-services+xml',
    defaultNamespace: RLS_SERVICES,
    root: { ns: RLS_SERVICES, local: 'rls-services' },
    unique: [{ ns: RLS_SERVICES, local: 'service', attribute: 'uri' }, ...LIST_RULES],
  },
  {
    auid: 'pres-rules',
    mimeType: 'application/auth-policy+xml',
    defaultNamespace: PRES_RULES,
    root: { ns: COMMON_POLICY, local: 'ruleset' },
    unique: [],
  },
  {
    // Reading: OMA names the common policy, not pres-rules, as the namespace of unprefixed steps.
    auid: 'org.openmobilealliance.pres-rules',
    mimeType: 'application/auth-policy+xml',
    defaultNamespace: COMMON_POLICY,
    root: { ns: COMMON_POLICY, local: 'ruleset' },
    unique: [],
  },
  {
    auid: 'org.openmobilealliance.groups',
    mimeType: 'application/vnd.oma.poc.groups+xml',
    defaultNamespace: OMA_LIST_SERVICE,
    root: { ns: OMA_LIST_SERVICE, local: 'group' },
    unique: LIST_RULES,
  },
  {
    auid: 'org.openmobilealliance.pres-content',
    mimeType: 'application/vnd.oma.pres-content+xml',
    defaultNamespace: OMA_PRES_CONTENT,
    root: { ns: OMA_PRES_CONTENT, local: 'content' },
    unique: [],
  },
  {
    auid: 'org.openmobilealliance.user-profile',
    mimeType: 'application/vnd.oma.user-profile+xml',
    defaultNamespace: OMA_USER_PROFILE,
    root: { ns: OMA_USER_PROFILE, local: 'user-profiles' },
    unique: [],
  },
  {
    auid: 'pidf-manipulation',
    mimeType: 'application/pidf+xml',
    defaultNamespace: PIDF,
    root: { ns: PIDF, local: 'presence' },
    unique: [],
  },
  {
    auid: 'simservs.ngn.etsi.org',
    mimeType: 'application/vnd.etsi.simservs+xml',
    defaultNamespace: SIMSERVS,
    root: { ns: SIMSERVS, local: 'simservs' },
    unique: [],
  },
]

/** RFC 4825 clause 12: usages, extensions (none) and namespaces that this server understands. */
function capabilities(usages: readonly ApplicationUsage[]): string {
  const namespaces = new Set([XCAP_ERROR_NAMESPACE])
  for (const { defaultNamespace, root } of usages) namespaces.add(defaultNamespace).add(root.ns)
  const lines = (name: string, values: Iterable<string>) =>
    [...values].map((value) => `    <${name}>${escapeXml(value)}</${name}>\n`).join('')
  return `<?xml version="1.0" encoding="UTF-8"?>
<xcap-caps xmlns="${XCAP_CAPS}">
  <auids>
${lines(
  'auid',
  usages.map(({ auid }) => auid),
)}  </auids>
  <extensions/>
  <namespaces>
${lines('namespace', [...namespaces].sort())}  </namespaces>
</xcap-caps>
`
}
