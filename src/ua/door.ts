/**
 * The ways in which a UE may prove who it is. `psk`: TLS with the bootstrapped key. `certificate`: a client certificate.
 * `digest`: HTTP Digest with the bootstrapped key. `password`: HTTP Digest with a provisioned secret.
 * @see 3GPP TS 33.222 clause 5 (Rel-17)
 */
export const DOORS = ['psk', 'certificate', 'digest', 'password'] as const
export type DoorName = (typeof DOORS)[number]

/** Doors to which a request or its connection brings something. Nothing of it is proven yet. */
export type Evidence = Pick<ReadonlySet<DoorName>, 'has'>

/**
 * The one door by which a request is judged: of those that the route opens, the first to which the UE brings anything.
 * Whatever it brings to another door counts for nothing, also where this one refuses: a request that fails at the
 * stronger must not be let in by the weaker.
 * @param doors  of the route, in order of preference
 * @returns undefined where the UE brings nothing to any of them
 * @see 3GPP TS 33.222 clause 5 (Rel-17)
 */
export function doorFor(doors: readonly DoorName[], evidence: Evidence): DoorName | undefined {
  return doors.find((door) => evidence.has(door))
}
