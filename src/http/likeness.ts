/**
 * Stands for all heads that are equal in every octet, or, for those of requests, in every octet but the value of
 * Authorization: whatever follows from that, and from nothing else, may be kept for it and used again.
 */
export class Likeness {
  /** Others like it are known by it; else it is that of one head alone. */
  isKept = false
  /** What was noted of heads of answers. */
  note: object | undefined
}
