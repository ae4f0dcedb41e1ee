/**
 * Stands for a request head without the value of its Authorization. Heads that have the same one are equal in every
 * other octet, so that whatever follows from those may be noted here and used again.
 */
export class Likeness {
  /** What was noted, by whoever judges such requests. */
  note: object | undefined
}
