import { open } from './short.ts'
import { type Account, challengeIn, piecesOf, requestOf } from './ues.ts'

/**
 * Attacks the very process that is measured, while it is under load: each has to be refused as it would be at rest.
 * @throws Error when one is not
 */
export async function proveChecks(port: number, ca: Buffer, [own, other]: readonly Account[]): Promise<number> {
  if (!own || !other) throw new RangeError('two accounts are needed')
  const connection = await open({ port, ca })
  const ask = (request: string, status: number) => connection.ask(request, status)
  const plain = requestOf(piecesOf('GET', 'small', own, undefined), 0)
  const challenge = challengeIn(await ask(plain, 401))
  let count = 0
  const signed = (account: Account, document = 'small', headers: readonly string[] = []) =>
    requestOf(piecesOf('GET', document, account, challenge, { headers }), ++count)
  const good = signed(own)
  const attacks: readonly (readonly [name: string, request: string, status: number])[] = [
    ['as it should be', good, 200],
    ['the same again', good, 401],
    ['another password', signed({ ...own, password: `${own.password}x` }), 401],
    ['signed for another path', signed(own).replace('/small HTTP', '/medium HTTP'), 401],
    ["another's tree", signed({ ...own, impu: other.impu }), 403],
    ['an asserted identity', signed(own, 'small', [`X-3GPP-Asserted-Identity: "${other.impu}"`]), 403],
    ['dot segments', signed(own, `..%2f${other.impu}/small`), 400],
    ['an identity of another', signed(own).replace(/Identity: "[^"]*"/, `Identity: "${other.impu}"`), 403],
    ['as it should be', signed(own), 200],
  ]
  try {
    for (const [name, request, status] of attacks) {
      try {
        await ask(request, status)
      } catch (cause) {
        throw new Error(`under load, not refused as it should be: ${name}`, { cause })
      }
    }
  } finally {
    connection.close()
  }
  return attacks.length
}
