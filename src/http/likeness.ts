/**
 * Stands for all heads that are equal in every octet, or, for those of requests, in every octet but the value of
 * Authorization: whatever follows from that may be noted here and used again.
 */
export class Likeness {
  /** What was noted, by whoever looks at such heads. */
  note: object | undefined
}
