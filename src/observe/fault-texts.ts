import { FAULTS, type FaultCode } from '../errors.ts'

/** One refusal in words. */
export interface FaultText {
  /** What was found. */
  readonly happened: string
  /** The document that asks for the refusal; where none does, why it is refused all the same. */
  readonly clause: string
  readonly advice: string
}

const TS24109 = (clause: string) => `TS 24.109 ${/^[A-Z]/.test(clause) ? 'Annex ' : '§'}${clause} (Rel-17)`
const RFC7616 = (clause: string) => `RFC 7616 §${clause}`

/** Every fault code in words, for people who look for the cause. A code without its text does not compile. */
export const FAULT_TEXTS: Readonly<Record<FaultCode, FaultText>> = {
  UB_REQUEST_MALFORMED: {
    happened: 'A bootstrapping request is not a GET with one well-formed Digest for AKA and without a body.',
    clause: TS24109('4.2'),
    advice: "Compare the UE's Authorization with the one of the standard profile: gba-proxy ue -v --new-bootstrap.",
  },
  UB_TMPI_UNKNOWN: {
    happened: 'The UE bootstraps under a temporary identity that the BSF does not know or has dropped.',
    clause: 'TS 33.220 §4.5.2 (Rel-17)',
    advice:
      'The UE drops the TMPI and comes again with its IMPI; one that does not can be served with bsf.tmpi: false.',
  },
  UB_RESPONSE_WRONG: {
    happened:
      'RES, the empty password of a resynchronisation, or a parameter of the challenge is not what it should be.',
    clause: TS24109('4.2'),
    advice:
      'Compare K and OPc of card and subscriber, and whether OP was given for OPc; a new challenge changes nothing.',
  },
  UB_TOO_MANY_REQUESTS: {
    happened:
      'More challenges were asked for than bsf.ub.limits lets a subscriber or a source have; no vector was drawn.',
    clause: 'none; a vector is drawn for who may need it',
    advice:
      'Look for a UE that bootstraps in a loop, or a front or NAT with many UEs behind it: that is a trusted source.',
  },
  UB_NOT_FOUND: {
    happened: 'A request to the BSF for another target than /.',
    clause: TS24109('4.2'),
    advice: 'Ub is GET / at the BSF; look at the address that the UE is provisioned with.',
  },
  UB_METHOD_NOT_ALLOWED: {
    happened: 'A request to the BSF with another method than GET.',
    clause: TS24109('4.2'),
    advice: 'Ub is GET / at the BSF.',
  },
  ZH_IMPI_UNKNOWN: {
    happened: 'The HSS has no subscriber with this private identity.',
    clause: 'TS 29.109 §4.2 (Rel-17)',
    advice: 'Add the subscriber, or compare its impi letter by letter: MNC digits, domain, ISIM or IMSI form.',
  },
  ZH_RESYNC_REFUSED: {
    happened: 'MAC-S in the AUTS of a resynchronisation is wrong, so that SQN cannot be taken from it.',
    clause: 'TS 33.102 §6.3.5 (Rel-17)',
    advice: 'Compare K and OPc of card and subscriber; the card has to make AUTS with AMF 0000.',
  },
  ZH_HSS_UNREACHABLE: {
    happened: 'The HSS does not answer.',
    clause: 'TS 29.109 §4.2 (Rel-17)',
    advice: 'Look at the HSS and the way to it; the UE may come again after Retry-After.',
  },
  ZN_REQUEST_MALFORMED: {
    happened: 'A NAF asked the BSF in a form that is none.',
    clause: 'TS 29.309 §5.2 (Rel-18)',
    advice: 'Compare its request with the OpenAPI of Nbsp_GBA.',
  },
  ZN_BTID_UNKNOWN: {
    happened: 'The BSF has no live bootstrap under this B-TID: expired, lost with its store, or made at another BSF.',
    clause: `TS 29.109 §5.2 (Rel-17), ${TS24109('5.2.5')}`,
    advice:
      'The UE bootstraps anew. If it happens at once: do UE and AP mean the same BSF, and has its store survived?',
  },
  ZN_NOT_AUTHORISED: {
    happened: 'The BSF does not give this NAF the key or the user security settings that it asked for.',
    clause: 'TS 29.109 §5.2 (Rel-17)',
    advice: 'Add the FQDN or the GSID to the entry of this NAF at the BSF (bsf.zn.nafs), or take it out of the route.',
  },
  ZN_NAF_NOT_LISTED: {
    happened: 'Somebody asks the BSF for keys whose certificate belongs to no entry.',
    clause: 'TS 33.220 §4.4.6 (Rel-17)',
    advice: 'If it is one of yours, list its certificate in bsf.zn.nafs.',
  },
  ZN_TOO_MANY_QUESTIONS: {
    happened: 'Too many keys are being asked for at a time for UEs at one address, and this would be one more.',
    clause: 'none; strangers, who have proven nothing yet, must not take all of the BSF',
    advice: 'List what many UEs stand behind in ap.limits.failures.trustedSources, or raise ap.zn.maxPerSource.',
  },
  ZN_BSF_UNREACHABLE: {
    happened: 'The BSF does not answer in time.',
    clause: 'TS 29.109 §5.2 (Rel-17)',
    advice:
      'Look at ap.zn.url, at the certificates of both sides, and at the BSF; the UE may come again after Retry-After.',
  },
  ZN_ANSWER_MALFORMED: {
    happened: 'The BSF answered with something that is no bootstrapping information.',
    clause: 'TS 29.309 §5.2 (Rel-18)',
    advice: 'Look at what stands between AP and BSF; compare the answer with the OpenAPI of Nbsp_GBA.',
  },
  UA_NAF_UNKNOWN: {
    happened: 'The host that the UE addressed is no NAF of this proxy.',
    clause: TS24109('D.2'),
    advice: 'Add the name to ap.nafs and to the certificate, or mend the XCAP root in the UE.',
  },
  UA_SNI_MISMATCH: {
    happened: 'TLS SNI and the Host header name different hosts.',
    clause: 'RFC 9110 §7.4; one connection serves one NAF, as the key is made for its name',
    advice: 'Look at what stands in front of the proxy: a TLS front that rewrites Host, a UE that reuses connections.',
  },
  UA_CREDENTIALS_MISSING: {
    happened: 'The request came without Authorization: the usual first step, which the challenge answers.',
    clause: TS24109('5.2.4'),
    advice: 'Nothing, when a protected request follows. If none does, the UE could not use the challenge.',
  },
  UA_CREDENTIALS_MALFORMED: {
    happened: 'Authorization is there more than once, or is no well-formed Digest.',
    clause: RFC7616('3.4'),
    advice: 'Paste the request into gba-proxy explain: it names the parameter.',
  },
  UA_TOKEN_MISSING: {
    happened: 'The UE does not say in User-Agent that it knows GBA, and ap.challenge.requireToken is on.',
    clause: TS24109('B.3'),
    advice: 'Make the UE send 3gpp-gba, or switch requireToken off.',
  },
  UA_DEVIATION_REFUSED: {
    happened:
      'The request deviates from the specifications in a way that is known, has a name, and is switched off here.',
    clause: 'the clause of the rule itself; the name of the deviation is in the record',
    advice: 'Mend the UE, or allow this one tolerance where it is to be served.',
  },
  UA_KEY_CHOICE_REFUSED: {
    happened: 'The user security settings ask for another kind of key than the method of this request has.',
    clause: 'TS 29.109 Annex A (Rel-17), keyChoice',
    advice: 'A UE with GBA_U has to answer the 3GPP-bootstrapping-uicc realm; else change keyChoice in the USS.',
  },
  UA_REALM_WRONG: {
    happened: 'The realm in Authorization is not the one of the addressed NAF.',
    clause: TS24109('5.2.4'),
    advice:
      'The UE echoes the realm of the challenge as it is; look for a port, another letter case, or another host in it.',
  },
  UA_ALGORITHM_NOT_OFFERED: {
    happened: 'The UE answered with a Digest algorithm that the challenge did not offer.',
    clause: RFC7616('3.4'),
    advice: 'Offer what the UE can (ap.challenge.algorithms); many take MD5 whatever is offered.',
  },
  UA_QOP_NOT_OFFERED: {
    happened: 'The UE answered with a quality of protection that was not offered, or with none.',
    clause: RFC7616('3.4'),
    advice: 'Offer a single qop: some UEs cannot read a list. One without qop could be replayed and is never served.',
  },
  UA_OFFERED_ELSEWHERE: {
    happened: 'The response is right, but its algorithm or qop is that of another route of this NAF.',
    clause: RFC7616('3.3'),
    advice:
      'The UE answers the new challenge (stale=true), without a new bootstrap. Routes of one host are best alike.',
  },
  UA_URI_MISMATCH: {
    happened: 'The uri in Authorization is not the request target.',
    clause: RFC7616('3.4.6'),
    advice: 'Look for a decoded or re-encoded path, a dropped query, or a proxy in between that rewrites the target.',
  },
  UA_BTID_MALFORMED: {
    happened: 'The username is no B-TID: base64 of 16 octets, @, name of the BSF.',
    clause: 'TS 33.220 §4.5.2 (Rel-17)',
    advice: 'The UE has to send the B-TID of its BootstrappingInfo, not its IMPI or IMPU.',
  },
  UA_KEY_EXPIRED: {
    happened: 'The key of this B-TID has expired.',
    clause: TS24109('5.2.5'),
    advice: 'The UE bootstraps anew. If it happens early: compare the clocks, and the lifetimes in subscriber and BSF.',
  },
  UA_NONCE_UNKNOWN: {
    happened: 'The nonce or the opaque is not one that this NAF has made.',
    clause: RFC7616('3.3'),
    advice: 'The nonce of another NAF or AP: several APs need the same nonceKeyFile. Or the UE changed it on the way.',
  },
  UA_NONCE_AGED: {
    happened: 'The response is right, but its nonce is older than ap.challenge.nonceLifetimeS; stale=true was sent.',
    clause: RFC7616('3.3'),
    advice: 'The UE uses the fresh nonce. If UEs bootstrap for it, make the lifetime of a nonce that of a key.',
  },
  UA_RESPONSE_WRONG: {
    happened: 'No key that is possible for this UE makes the response that it sent.',
    clause: RFC7616('3.4.1'),
    advice: 'Paste the request into gba-proxy explain with the SIM: it tries what could differ.',
  },
  UA_NONCE_FORGOTTEN: {
    happened:
      'The response is right, but which counts of this nonce were used is no longer known; stale=true was sent.',
    clause: RFC7616('5.5'),
    advice: 'Normal after a restart without the store. If it is frequent, the record of used nonces is too small.',
  },
  UA_NC_REUSED: {
    happened: 'The response is right, but its nonce count was used before: a replay, or a UE that does not count.',
    clause: RFC7616('3.4.5'),
    advice: 'Look for something that sends requests twice, and for a UE that keeps nc at 00000001.',
  },
  UA_REBOOTSTRAP_DEMANDED: {
    happened: 'The response is right, but the bootstrap is older than the route or the operator lets it be.',
    clause: TS24109('5.2.5'),
    advice: 'Nothing is wrong: the UE bootstraps anew. To see why, look at maxKeyAgeS and the file of demands.',
  },
  UA_TOO_MANY_FAILURES: {
    happened: 'Too many wrong responses or unknown B-TIDs came before, under this name or from this source.',
    clause: 'RFC 6585 §4; a 401 would make a handset bootstrap',
    advice:
      'Look at the refusals before it: a UE with a wrong key, somebody who guesses, or many UEs behind one address.',
  },
  UA_DOOR_CLOSED: {
    happened: 'The route does not take the kind of proof that the UE brings, and asks for none over HTTP.',
    clause: 'TS 33.222 §5 (Rel-17)',
    advice: 'Compare the doors of the route with how the UE comes in: by shared key, certificate, Digest or password.',
  },
  UA_CERTIFICATE_REFUSED: {
    happened: 'The UE showed a client certificate that is not good: not of a listed CA, expired, or revoked.',
    clause: 'TS 33.222 §5.5 (Rel-17)',
    advice: 'Look at the detail in the log; renew the certificate, or the CRL where that has expired.',
  },
  UA_CERTIFICATE_UNKNOWN: {
    happened: 'The client certificate is good, but stands for no subscriber here.',
    clause: 'TS 33.222 §5.5 (Rel-17)',
    advice: 'Give it a SAN with the IMPU or IMPI, or the subscriber file an entry with its fingerprint or subject.',
  },
  UA_USERNAME_UNKNOWN: {
    happened: 'The username of a Digest with a password is that of no subscriber.',
    clause: 'TS 24.623 §5.2.1.1 (Rel-17)',
    advice: 'Add the subscriber with its HA1 to ap.subscribersFile, or make the UE bootstrap.',
  },
  UA_TLS_REQUIRED: {
    happened: 'A request came in clear to the listener that only sends UEs on to TLS.',
    clause: 'RFC 2817 §4.2',
    advice: 'The UE has to upgrade the connection, or to come to the https port at once.',
  },
  UA_FRONT_SILENT: {
    happened: 'The TLS front did not say with which suite, or at all, the UE came over TLS.',
    clause: 'none; without the suite NAF_Id would be a guess',
    advice: 'Make the front send what ap.front.tells says: PROXY protocol v2 with its TLS part, or the named headers.',
  },
  UT_TARGET_AMBIGUOUS: {
    happened: 'The request target could be read differently by two parsers.',
    clause: 'RFC 3986 §3.3; what is authorised has to be what the application server acts on',
    advice: 'Look for escaped letters, dots or slashes, //, dot segments, a backslash, or double escapes.',
  },
  UT_REQUEST_MALFORMED: {
    happened: 'The target is no XCAP URI, or the framing of the request is odd: GET with a body, two Host headers.',
    clause: 'RFC 4825 §6, RFC 9112 §3.2',
    advice: 'Look at xcapRoot of the application server, and at AUID, users or global, and XUI in the path.',
  },
  UT_METHOD_NOT_ALLOWED: {
    happened: 'The route does not let this method through.',
    clause: 'RFC 4825 §8',
    advice: 'Add the method to the route if the application server is meant to see it.',
  },
  UT_ROUTE_UNKNOWN: {
    happened: 'No route fits this host and path.',
    clause: 'none; what is not configured is not forwarded',
    advice: 'Ask gba-proxy route what fits; add a route for the AUID.',
  },
  UT_BODY_TOO_LARGE: {
    happened: 'The request body is larger than ap.limits.bodyBytes.',
    clause: 'RFC 9110 §15.5.14',
    advice: 'Raise the limit if such documents are meant to be.',
  },
  UT_HEADERS_TOO_LARGE: {
    happened: 'The request header is larger than ap.limits.headerBytes or has more fields than headerCount.',
    clause: 'RFC 6585 §5',
    advice: 'Raise the limits if the UE is an honest one.',
  },
  UT_REQUEST_TIMEOUT: {
    happened: 'The request did not arrive in time.',
    clause: 'RFC 9110 §15.5.9',
    advice: 'Look at the radio link; raise ap.limits.requestTimeoutMs for slow ones.',
  },
  UT_IDENTITY_MALFORMED: {
    happened: 'X-3GPP-Intended-Identity is not one SIP or tel URI, or the asserted identity does not fit the header.',
    clause: TS24109('7.2'),
    advice: 'The UE sends one identity in quotation marks, once; no list, no display name.',
  },
  UT_IDENTITY_HEADER_FORBIDDEN: {
    happened: 'The UE asserts an identity or flags itself, which only the proxy may.',
    clause: TS24109('7.2'),
    advice: 'Take the header out of the UE. If a proxy in front adds it, that one has to stop, or to stand behind.',
  },
  UT_IMPU_NOT_OWNED: {
    happened: 'The intended identity is not among those of the subscriber for this service.',
    clause: TS24109('7.2'),
    advice: "Compare it with the uids in the subscriber's USS for the route's GSIDs; barred ones do not count.",
  },
  UT_TREE_NOT_OWNED: {
    happened: "The document is in another user's tree, and the rule of the route does not allow that.",
    clause: 'RFC 4825 §6.2, TS 24.109 §7.3 (Rel-17)',
    advice:
      'Compare the XUI in the path with the uids of the USS; loosen ownership only where the server checks itself.',
  },
  UT_GLOBAL_READ_ONLY: {
    happened: 'A UE writes to the global tree.',
    clause: 'RFC 4825 §5.1',
    advice: 'The operator writes there, not the users; ownership as-decides leaves it to the application server.',
  },
  UT_USS_MISSING: {
    happened: "The subscriber has no user security setting, or none with an identity, for the route's GSIDs.",
    clause: TS24109('7.3'),
    advice: 'Add the USS to the subscriber, or the GSID to the route; an HSS may write the type where the id belongs.',
  },
  UT_IDENTITY_NOT_WITHHELD: {
    happened: 'The request would show a private identity to an application server outside the trust domain.',
    clause: 'TS 33.222 §6.5 (Rel-17)',
    advice: 'Look for IMPI, IMSI or B-TID in path, query or headers; a pseudonym may stand in their place.',
  },
  UT_AS_UNREACHABLE: {
    happened: 'The application server takes no connection or closes it without an answer.',
    clause: 'RFC 9110 §15.6.3',
    advice: 'Look at its url, and whether it is up.',
  },
  UT_AS_TIMEOUT: {
    happened: 'The application server did not answer in time.',
    clause: 'RFC 9110 §15.6.5',
    advice: 'Look at the server; raise its timeoutMs if it is slow by nature.',
  },
  UT_AS_ANSWER_INVALID: {
    happened: 'The application server answered with something that is not HTTP, or with a status that is none.',
    clause: 'RFC 9110 §15.6.3',
    advice: 'Look at the server, and whether its url is its HTTP port.',
  },
  UT_AS_OVERLOADED: {
    happened: 'More requests wait for a connection to the application server than may, or this one did for too long.',
    clause: 'RFC 9110 §15.6.4',
    advice: 'Look at the server, which is slower than its requests come; raise its connections if it could take more.',
  },
  UT_AS_SUSPENDED: {
    happened: 'Every address of the application server failed so often, or says of itself, that none is tried now.',
    clause: 'RFC 9110 §15.6.4',
    advice: 'Look at the server; the UE may come again after Retry-After. What failed before was UT_AS_UNREACHABLE.',
  },
  UT_AS_WANTS_CREDENTIALS: {
    happened: 'The application server asked for credentials; a 401 would make handsets bootstrap, so the UE gets 403.',
    clause: TS24109('7.2'),
    advice: "Tell the server to believe the proxy's identity header; compare identityHeader and identityQuoted.",
  },
  UT_ANSWER_TOO_LARGE: {
    happened: "The application server's answer is larger than auth-int can cover here.",
    clause: RFC7616('3.4.3'),
    advice: 'Raise ap.limits.authIntAnswerBytes, or offer qop auth only.',
  },
  INTERNAL: {
    happened: 'A defect of this program.',
    clause: 'none',
    advice: 'The log has it whole under the request id; report it.',
  },
  AP_OVERLOADED: {
    happened:
      'More requests are under way than ap.limits.inFlight, or it had to wait for the process, by maxLoopDelayMs.',
    clause: 'RFC 9110 §15.6.4',
    advice: 'One of a second is recorded; ap.shedding in the log counts all. Add workers or hosts, or look who floods.',
  },
  STORE_UNAVAILABLE: {
    happened: 'The store cannot be read or written, or is full; nothing is accepted that cannot be recorded.',
    clause: 'none; a lost record means refuse',
    advice: 'Look at disk space, permissions and the key file of store.directory.',
  },
}

/** Whose fault it is, in words. */
export const BLAME = { ue: 'the UE', policy: 'policy', peer: 'a peer', us: 'this proxy' } as const

export const FAULT_TABLE_BEGIN = '<!-- faults:begin -->'
export const FAULT_TABLE_END = '<!-- faults:end -->'

/** The fault codes as a Markdown table: code, answer, whose fault, what happened, clause, what to do. */
export function faultTable(): string {
  const rows = Object.entries(FAULT_TEXTS).map(([code, { happened, clause, advice }]) => {
    const { by } = FAULTS[code as FaultCode]
    const cells = [`\`${code}\``, answersOf(code as FaultCode), BLAME[by], happened, clause, advice]
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  })
  const head = ['| code | answer | whose fault | what happened | clause | what to do |', '|---|---|---|---|---|---|']
  return [...head, ...rows].join('\n')
}

/** What each interface answers: HTTP on Ut and Ub, the Diameter result on Zn. */
export function answersOf(code: FaultCode): string {
  const { ut, ub, zn } = FAULTS[code]
  const answers = [
    ['Ut', ut],
    ['Ub', ub],
    ['Zn', zn],
  ] as const
  return answers.flatMap(([point, status]) => (status === null ? [] : [`${point} ${status}`])).join(', ')
}
