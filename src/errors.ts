/**
 * Whose fault a refusal is: the UE's, the policy's, a peer's, or ours.
 * `ut`, `ub`: HTTP status towards the UE. `zn`: Diameter result code of TS 29.109, mapped to HTTP in zn/plugin.ts.
 * null: the interface cannot meet this fault.
 */
interface Fault {
  readonly by: 'ue' | 'policy' | 'peer' | 'us'
  readonly ut: number | null
  readonly ub: number | null
  readonly zn: number | null
}

/** Every refusal: whose fault it is and what each interface answers. A half-answered code does not compile. */
export const FAULTS = {
  // Ub, TS 24.109 clause 4 (Rel-17)
  UB_REQUEST_MALFORMED: { by: 'ue', ut: null, ub: 400, zn: null },
  UB_TMPI_UNKNOWN: { by: 'ue', ut: null, ub: 403, zn: null },
  UB_RESPONSE_WRONG: { by: 'ue', ut: null, ub: 403, zn: null },
  UB_TOO_MANY_REQUESTS: { by: 'ue', ut: null, ub: 429, zn: null },
  UB_NOT_FOUND: { by: 'ue', ut: null, ub: 404, zn: null },
  UB_METHOD_NOT_ALLOWED: { by: 'ue', ut: null, ub: 405, zn: null },
  // Zh, TS 29.109 clause 4 (Rel-17)
  ZH_IMPI_UNKNOWN: { by: 'ue', ut: null, ub: 403, zn: 5401 },
  ZH_RESYNC_REFUSED: { by: 'ue', ut: null, ub: 403, zn: null },
  ZH_HSS_UNREACHABLE: { by: 'peer', ut: null, ub: 503, zn: null },
  // Zn, TS 29.109 clause 5 (Rel-17)
  ZN_REQUEST_MALFORMED: { by: 'peer', ut: 502, ub: null, zn: 5004 },
  ZN_BTID_UNKNOWN: { by: 'ue', ut: 401, ub: null, zn: 5403 },
  ZN_NOT_AUTHORISED: { by: 'policy', ut: 403, ub: null, zn: 5402 },
  ZN_NAF_NOT_LISTED: { by: 'policy', ut: null, ub: null, zn: 5402 },
  ZN_BSF_UNREACHABLE: { by: 'peer', ut: 503, ub: null, zn: null },
  ZN_TOO_MANY_QUESTIONS: { by: 'policy', ut: 429, ub: null, zn: null },
  ZN_ANSWER_MALFORMED: { by: 'peer', ut: 502, ub: null, zn: null },
  // Ua, TS 24.109 clause 5 (Rel-17)
  UA_NAF_UNKNOWN: { by: 'ue', ut: 421, ub: null, zn: null },
  UA_SNI_MISMATCH: { by: 'ue', ut: 421, ub: null, zn: null },
  UA_CREDENTIALS_MISSING: { by: 'ue', ut: 401, ub: null, zn: null },
  UA_CREDENTIALS_MALFORMED: { by: 'ue', ut: 401, ub: null, zn: null },
  UA_TOKEN_MISSING: { by: 'ue', ut: 403, ub: null, zn: null },
  UA_DEVIATION_REFUSED: { by: 'ue', ut: 400, ub: null, zn: null },
  UA_KEY_CHOICE_REFUSED: { by: 'policy', ut: 403, ub: null, zn: null },
  UA_REALM_WRONG: { by: 'ue', ut: 401, ub: null, zn: null },
  UA_ALGORITHM_NOT_OFFERED: { by: 'ue', ut: 401, ub: null, zn: null },
  UA_QOP_NOT_OFFERED: { by: 'ue', ut: 401, ub: null, zn: null },
  UA_OFFERED_ELSEWHERE: { by: 'policy', ut: 401, ub: null, zn: null },
  UA_URI_MISMATCH: { by: 'ue', ut: 401, ub: null, zn: null },
  UA_BTID_MALFORMED: { by: 'ue', ut: 401, ub: null, zn: null },
  UA_KEY_EXPIRED: { by: 'ue', ut: 401, ub: null, zn: null },
  UA_NONCE_UNKNOWN: { by: 'ue', ut: 401, ub: null, zn: null },
  UA_NONCE_AGED: { by: 'ue', ut: 401, ub: null, zn: null },
  UA_RESPONSE_WRONG: { by: 'ue', ut: 401, ub: null, zn: null },
  UA_NONCE_FORGOTTEN: { by: 'us', ut: 401, ub: null, zn: null },
  UA_NC_REUSED: { by: 'ue', ut: 401, ub: null, zn: null },
  UA_REBOOTSTRAP_DEMANDED: { by: 'policy', ut: 401, ub: null, zn: null },
  UA_TOO_MANY_FAILURES: { by: 'ue', ut: 429, ub: null, zn: null },
  UA_DOOR_CLOSED: { by: 'policy', ut: 403, ub: null, zn: null },
  UA_CERTIFICATE_REFUSED: { by: 'ue', ut: 403, ub: null, zn: null },
  UA_CERTIFICATE_UNKNOWN: { by: 'policy', ut: 403, ub: null, zn: null },
  UA_USERNAME_UNKNOWN: { by: 'ue', ut: 401, ub: null, zn: null },
  UA_TLS_REQUIRED: { by: 'ue', ut: 426, ub: null, zn: null },
  UA_FRONT_SILENT: { by: 'peer', ut: 502, ub: null, zn: null },
  // Ut, TS 24.109 clause 7 (Rel-17)
  UT_TARGET_AMBIGUOUS: { by: 'ue', ut: 400, ub: null, zn: null },
  UT_REQUEST_MALFORMED: { by: 'ue', ut: 400, ub: null, zn: null },
  UT_METHOD_NOT_ALLOWED: { by: 'ue', ut: 405, ub: null, zn: null },
  UT_ROUTE_UNKNOWN: { by: 'ue', ut: 404, ub: null, zn: null },
  UT_BODY_TOO_LARGE: { by: 'ue', ut: 413, ub: null, zn: null },
  UT_HEADERS_TOO_LARGE: { by: 'ue', ut: 431, ub: null, zn: null },
  UT_REQUEST_TIMEOUT: { by: 'ue', ut: 408, ub: null, zn: null },
  UT_IDENTITY_MALFORMED: { by: 'ue', ut: 403, ub: null, zn: null },
  UT_IDENTITY_HEADER_FORBIDDEN: { by: 'ue', ut: 403, ub: null, zn: null },
  UT_IMPU_NOT_OWNED: { by: 'policy', ut: 403, ub: null, zn: null },
  UT_TREE_NOT_OWNED: { by: 'policy', ut: 403, ub: null, zn: null },
  UT_GLOBAL_READ_ONLY: { by: 'policy', ut: 403, ub: null, zn: null },
  UT_USS_MISSING: { by: 'policy', ut: 403, ub: null, zn: null },
  UT_IDENTITY_NOT_WITHHELD: { by: 'policy', ut: 403, ub: null, zn: null },
  UT_AS_UNREACHABLE: { by: 'peer', ut: 502, ub: null, zn: null },
  UT_AS_TIMEOUT: { by: 'peer', ut: 504, ub: null, zn: null },
  UT_AS_ANSWER_INVALID: { by: 'peer', ut: 502, ub: null, zn: null },
  UT_AS_OVERLOADED: { by: 'peer', ut: 503, ub: null, zn: null },
  UT_AS_SUSPENDED: { by: 'peer', ut: 503, ub: null, zn: null },
  UT_AS_WANTS_CREDENTIALS: { by: 'peer', ut: 403, ub: null, zn: null },
  UT_ANSWER_TOO_LARGE: { by: 'peer', ut: 502, ub: null, zn: null },
  // ours
  INTERNAL: { by: 'us', ut: 500, ub: 500, zn: 5012 },
  AP_OVERLOADED: { by: 'us', ut: 503, ub: null, zn: null },
  STORE_UNAVAILABLE: { by: 'us', ut: 503, ub: 503, zn: 3004 },
} as const satisfies Record<string, Fault>

export type FaultCode = keyof typeof FAULTS

/** One hierarchy for every refusal, told apart by `code`. `message` is for the audit log: it may name an identity. */
export class GbaError extends Error {
  readonly code: FaultCode
  /** After how many seconds it may be tried again, where that is known. */
  readonly retryAfterS: number | undefined
  constructor(code: FaultCode, detail: string, options?: ErrorOptions & { readonly retryAfterS?: number }) {
    const { stackTraceLimit } = Error
    // Where in the code a UE was refused tells nobody anything, and finding out costs more than the refusal.
    if (FAULTS[code].by === 'ue') Error.stackTraceLimit = 0
    super(detail, options)
    Error.stackTraceLimit = stackTraceLimit
    this.name = 'GbaError'
    this.code = code
    this.retryAfterS = options?.retryAfterS
  }

  get fault(): Fault {
    return FAULTS[this.code]
  }
}

/** What a refusal tells the other side: never an identity, a key, or a reason beyond the status. */
export interface Problem {
  readonly type: 'about:blank'
  readonly title: string
  readonly status: number
  /** The request id: the word to look for in the audit log. */
  readonly instance: string
}

const TITLES: Readonly<Record<number, string>> = {
  308: 'Permanent Redirect',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  409: 'Conflict',
  412: 'Precondition Failed',
  413: 'Content Too Large',
  414: 'URI Too Long',
  415: 'Unsupported Media Type',
  421: 'Misdirected Request',
  426: 'Upgrade Required',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
}

export const PROBLEM_JSON = 'application/problem+json'

/** @see RFC 9457 section 3 */
export function problemOf(status: number, requestId: string): Problem {
  return { type: 'about:blank', title: TITLES[status] ?? 'Error', status, instance: `urn:uuid:${requestId}` }
}
