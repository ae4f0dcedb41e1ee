import type { Arrival, Connection, Permission } from './passage.ts'
import type { Authenticated } from './ua/authenticated.ts'
import type { DoorPolicy, Knock } from './ua/doors.ts'
import type { Familiar } from './ua/familiar.ts'
import type { OutgoingHeaders } from './ut/headers.ts'

/** Whom a permission was for. */
type Who = Pick<Authenticated, 'ussList' | 'btid' | 'impi' | 'username'>

/**
 * What the stages found of a request without its credentials, and so of all that are like it, under the same rules and on
 * connections that tell the same. Credentials are judged anew each time, and so is all that depends on the clock.
 */
export class Found {
  readonly #serverName: string | undefined
  readonly #suiteId: string | undefined
  readonly arrival: Omit<Arrival, 'at'>
  readonly methods: readonly string[]
  readonly tokens: Knock['tokens']
  readonly uaProtocolIds: Knock['uaProtocolIds']
  readonly doorPolicy: DoorPolicy
  /** It was found before. */
  isFamiliar = false
  /** The last credentials for the same. */
  readonly familiar: Familiar = { credentials: undefined }
  #permitted: { readonly who: Who; readonly permission: Permission } | undefined
  #sent: Sent | undefined

  constructor(
    { serverName, suiteId }: Connection,
    found: Pick<Found, 'arrival' | 'methods' | 'tokens' | 'uaProtocolIds' | 'doorPolicy'>,
  ) {
    this.#serverName = serverName
    this.#suiteId = suiteId
    this.arrival = found.arrival
    this.methods = found.methods
    this.tokens = found.tokens
    this.uaProtocolIds = found.uaProtocolIds
    this.doorPolicy = found.doorPolicy
  }

  /** Whether the same would be found on this connection. */
  holdsOn({ serverName, suiteId }: Connection): boolean {
    return this.#serverName === serverName && this.#suiteId === suiteId
  }

  /** The permission of one who is the same, down to the very settings. */
  permissionOf({ ussList, btid, impi, username }: Who): Permission | undefined {
    const known = this.#permitted
    if (known === undefined || known.who.ussList !== ussList || known.who.btid !== btid) return undefined
    return known.who.impi === impi && known.who.username === username ? known.permission : undefined
  }

  permitted({ ussList, btid, impi, username }: Authenticated, permission: Permission): void {
    this.#permitted = {
      who: { ussList, ...(btid && { btid }), ...(impi && { impi }), ...(username && { username }) },
      permission,
    }
  }

  /** Headers that were sent under this very permission, with a body as long. */
  headersSent(permission: Permission, bodyLength: number | undefined): OutgoingHeaders | undefined {
    const sent = this.#sent
    return sent?.permission === permission && sent.bodyLength === bodyLength ? sent.headers : undefined
  }

  sent(permission: Permission, bodyLength: number | undefined, headers: OutgoingHeaders): void {
    this.#sent = { permission, bodyLength, headers }
  }
}

interface Sent {
  readonly permission: Permission
  readonly bodyLength: number | undefined
  readonly headers: OutgoingHeaders
}
