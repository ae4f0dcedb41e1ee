/**
 * Every way a UE's call can fail, with the exit code of the command: curl's own (1..101) where curl has one,
 * ours from 110 where only GBA knows the case.
 */
export const UE_FAULTS = {
  SIM_MALFORMED: { exit: 2 },
  REQUEST_MALFORMED: { exit: 2 },
  URL_MALFORMED: { exit: 3 },
  HOST_UNKNOWN: { exit: 6 },
  CONNECT_FAILED: { exit: 7 },
  ANSWER_CUT_SHORT: { exit: 18 },
  /** Only where the caller takes a status for a failure. */
  STATUS_REFUSED: { exit: 22 },
  OUTPUT_UNWRITABLE: { exit: 23 },
  STATE_UNWRITABLE: { exit: 23 },
  INPUT_UNREADABLE: { exit: 26 },
  STATE_UNREADABLE: { exit: 26 },
  TIMEOUT: { exit: 28 },
  TLS_FAILED: { exit: 35 },
  ABORTED: { exit: 42 },
  ANSWER_EMPTY: { exit: 52 },
  CONNECTION_LOST: { exit: 56 },
  /** The UE's own certificate or its key. */
  CLIENT_CERTIFICATE_UNUSABLE: { exit: 58 },
  CIPHERS_UNUSABLE: { exit: 59 },
  CERTIFICATE_REFUSED: { exit: 60 },
  ANSWER_TOO_LARGE: { exit: 63 },
  CA_UNREADABLE: { exit: 77 },
  /** The BSF answered with something other than a challenge or a bootstrap. */
  BOOTSTRAP_REFUSED: { exit: 110 },
  /** MAC in AUTN: the network does not know K. */
  AUTN_MAC_WRONG: { exit: 111 },
  /** The server could not prove that it knows the key, or did not try although it must. */
  RSPAUTH_WRONG: { exit: 112 },
  /** No challenge that this UE may answer: foreign realm, no known algorithm, qop not offered. */
  CHALLENGE_UNUSABLE: { exit: 113 },
  BSF_ANSWER_MALFORMED: { exit: 114 },
  /** A TLS suite without a known code: Ks_NAF cannot be derived. */
  SUITE_UNKNOWN: { exit: 115 },
  /** A handshake that does not stand on the bootstrapped key, though it was offered. */
  PSK_REFUSED: { exit: 116 },
  /** The server did not change from plain HTTP to TLS. */
  UPGRADE_REFUSED: { exit: 117 },
} as const satisfies Record<string, { readonly exit: number }>

export type UeFaultCode = keyof typeof UE_FAULTS

/** Apart from GbaError, whose codes say what a server answers: a UE answers nobody. */
export class UeError extends Error {
  readonly code: UeFaultCode
  constructor(code: UeFaultCode, detail: string, options?: ErrorOptions) {
    super(detail, options)
    this.name = 'UeError'
    this.code = code
  }

  get exitCode(): number {
    return UE_FAULTS[this.code].exit
  }
}
