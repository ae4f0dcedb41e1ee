/**
 * Memory that reads go to, used again once what was read has been sent on. Each new piece of it would count against the
 * heap, which the collector then goes through for nothing.
 */
const free: Buffer[] = []

/** What may be used again: memory of any other origin may have other users. */
const ours = new WeakSet<ArrayBufferLike>()

export const READ_BYTES = 65_536

/**
 * A whole answer's body up to this size may be a view of what its connection reads into: whoever gets it copies it at
 * once, or sends somebody else's answer.
 */
export const VIEWED_BYTES = 16_384

/** @param size  octets: memory of READ_BYTES is used again, other sizes are not */
export function takeReadBuffer(size: number): Buffer {
  if (size !== READ_BYTES) return Buffer.allocUnsafeSlow(size)
  const known = free.pop()
  if (known) return known
  const made = Buffer.allocUnsafeSlow(size)
  ours.add(made.buffer)
  return made
}

/** For a body that is collected. @param size  octets, READ_BYTES at most */
export function takeBody(size: number): Buffer {
  if (size <= VIEWED_BYTES) return Buffer.allocUnsafe(size)
  const body = takeReadBuffer(READ_BYTES).subarray(0, size)
  bodies.add(body)
  return body
}

/** The same for a collected body, and for that alone: any other may be a view of what a connection reads into. */
export function reuseBody(body: Buffer): void {
  if (bodies.delete(body)) reuseReadBuffer(body)
}

/** Those that were given out. */
const bodies = new WeakSet<Buffer>()

/** To be called once, when nobody will look at it any more: the next read writes over it. @param part  of what was taken */
export function reuseReadBuffer(part: Buffer): void {
  if (free.length < MOST_KEPT && ours.has(part.buffer)) free.push(Buffer.from(part.buffer, 0, READ_BYTES))
}

/** 16 MiB. */
const MOST_KEPT = 256
