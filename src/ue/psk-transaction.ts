import type { Fqdn } from '../core/identity.ts'
import { UeError } from './fault.ts'
import type { Sent } from './message.ts'
import type { PskKey } from './psk.ts'
import type { HeldBootstrap } from './state.ts'
import { gbaChallenge } from './ua.ts'
import {
  requestOf,
  respond,
  tell,
  type UaContext,
  type UaRequest,
  type UeRequestOptions,
  type UeResponse,
} from './ua-request.ts'

/**
 * One transaction on Ua inside TLS that stands on the bootstrapped key. The handshake has shown each end to the other:
 * there is no Digest, and nothing to check on the answer. A 401 asks for another key, hence another connection.
 * @throws UeError; a status is none
 * @see 3GPP TS 24.109 clause 5.3.3 (Rel-17)
 */
export async function transactByPsk(
  context: UaContext & { readonly pskKey: (held: HeldBootstrap, naf: Fqdn) => PskKey },
  method: string,
  urlText: string,
  options: UeRequestOptions,
): Promise<UeResponse> {
  const request = requestOf(context.profile, method, urlText, options)
  const { url, body, plain } = request
  const { signal } = options
  const send = (held: HeldBootstrap): Promise<Sent> =>
    context.transport.send({ url, method, body, key: context.pskKey(held, url.host), headers: () => plain, signal })
  let renegotiations = 0
  const sent = await withKey(context, signal, send, (answer) => {
    const asked = !request.authorised && renegotiates(context, request, answer)
    if (asked) renegotiations += 1
    if (asked) tell(context, request, answer, 'the key is refused: bootstrap anew')
    return asked
  })
  context.last.set(url.origin, sent.connection)
  const { status } = sent.response
  tell(context, request, sent, status === 401 && renegotiations > 0 ? GIVEN_UP : 'both ends know the bootstrapped key')
  return respond(sent, 'absent')
}

const GIVEN_UP = 'refused with a fresh key: given up'

/**
 * Runs with the bootstrap that is held, or a new one; and once more with a new one when its key is refused, in the
 * handshake or by what comes of it. There is one bootstrap at most.
 * @param isRefused  looks at what came of a key that was held
 */
export async function withKey<T>(
  { live, bootstrap }: Pick<UaContext, 'live' | 'bootstrap'>,
  signal: AbortSignal | undefined,
  run: (held: HeldBootstrap) => Promise<T>,
  isRefused: (result: T) => boolean = () => false,
): Promise<T> {
  const held = live()
  if (!held) return run(await bootstrap(signal))
  try {
    const result = await run(held)
    if (!isRefused(result)) return result
  } catch (error) {
    if (!(error instanceof UeError) || error.code !== 'PSK_REFUSED') throw error
  }
  const current = live()
  const isReplaced = current !== undefined && current.btid !== held.btid
  return run(isReplaced ? current : await bootstrap(signal))
}

/** Inside, a 401 for GBA means that this key will not do any more. @throws UeError CHALLENGE_UNUSABLE */
function renegotiates(context: UaContext, request: UaRequest, sent: Sent): boolean {
  if (sent.response.status !== 401) return false
  try {
    return gbaChallenge(sent.response.headers, request.url.host, context.profile) !== undefined
  } catch (error) {
    if (error instanceof UeError) tell(context, request, sent, error.message)
    throw error
  }
}
