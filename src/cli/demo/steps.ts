import { toBase64, utf8 } from '../../core/bytes.ts'
import { formatAuthorization, parseChallenges } from '../../core/digest-header.ts'
import type { Fqdn } from '../../core/identity.ts'
import { impuOf } from '../../lab.ts'
import { createUe, type Ue, type UeRequestOptions, type UeResponse } from '../../ue/flow.ts'
import type { Sim } from '../../ue/sim.ts'
import type { Ladder } from './ladder.ts'

export interface DemoParts {
  readonly ue: Ue
  readonly sim: Sim
  readonly naf: Fqdn
  readonly ca: Uint8Array
  readonly ladder: Ladder
  readonly avsDrawn: () => number
}

const LIST =
  '<?xml version="1.0" encoding="UTF-8"?>\n<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists">\n' +
  '<list name="friends"></list>\n</resource-lists>\n'
const ENTRY = '<entry uri="sip:bob@ims.mnc001.mcc001.3gppnetwork.org"/>'
const DOCUMENT_TYPE = { 'content-type': 'application/resource-lists+xml' }
const ELEMENT_TYPE = { 'content-type': 'application/xcap-el+xml' }

/** Every step of the flow, each with what has to come out. @returns whether all of it did */
export async function demoSteps(parts: DemoParts): Promise<boolean> {
  const { ue, sim, naf, ca, ladder, avsDrawn } = parts
  const own = `https://${naf}/resource-lists/users/${impuOf('alice')}/index`
  const bobs = `https://${naf}/resource-lists/users/${impuOf('bob')}/index`
  const entry = `${own}/~~/resource-lists/list%5B@name=%22friends%22%5D/entry%5B@uri=%22sip:bob@ims.mnc001.mcc001.3gppnetwork.org%22%5D`
  let allRight = true
  const check = (right: boolean, what: string) => {
    ladder.verdict(right, what)
    allRight &&= right
  }
  const expect = async (title: string, status: number, method: string, url: string, options: UeRequestOptions = {}) => {
    ladder.step(title)
    const response = await ue.request(method, url, options)
    check(response.status === status, `status ${response.status}, expected ${status}`)
    return response
  }

  ladder.step('1. The UE bootstraps: HTTP Digest AKA with the BSF, one authentication vector')
  const { btid } = await ue.bootstrap()
  check(avsDrawn() === 1, `${avsDrawn()} vector drawn; B-TID ${btid}`)
  const missing = await expect('2. A document that is not there', 404, 'GET', own)
  check(missing.rspauth === 'verified', 'the AP proved that it holds Ks_NAF (rspauth)')
  await expect('3. The list is made', 201, 'PUT', own, { body: LIST, headers: DOCUMENT_TYPE })
  const got = await expect('4. It is read back', 200, 'GET', own)
  const etag = got.header('etag') ?? ''
  check(got.text() === LIST && etag !== '', `octet for octet, ETag ${etag}`)
  await expect('5. Nothing changed since', 304, 'GET', own, { headers: { 'if-none-match': etag } })
  const late = { body: LIST, headers: { ...DOCUMENT_TYPE, 'if-match': '"another"' } }
  await expect('6. A write on top of another version', 412, 'PUT', own, late)
  await expect('7. One element is added', 201, 'PUT', entry, { body: ENTRY, headers: ELEMENT_TYPE })
  const after = await ue.request('GET', own)
  check(after.text().includes(ENTRY), 'the document holds it')
  await expect("8. Another user's tree", 403, 'PUT', bobs, { body: LIST, headers: DOCUMENT_TYPE })
  check(avsDrawn() === 1, `still ${avsDrawn()} vector for all of this`)

  ladder.step('9. A B-TID that the BSF never gave out')
  const refused = await inventedBtid(ue, own)
  check(refused.status === 401, `status ${refused.status}, expected 401: the realm says bootstrap`)

  ladder.step('10. A card whose SQN is ahead of the HSS: it resynchronises, once')
  const ahead = createUe(
    { ...sim, sqn: Uint8Array.of(0, 0, 0x40, 0, 0, 0) },
    {
      ca,
      observer: (exchange) => ladder.exchanged(exchange),
    },
  )
  const before = avsDrawn()
  const recovered = await ahead.request('GET', own)
  ahead.close()
  check(recovered.status === 200, `status ${recovered.status}, expected 200`)
  check(avsDrawn() === before + 2, `${avsDrawn() - before} vectors: the one refused and the one after AUTS`)

  ladder.close(allRight ? 'Every step came out as it should.' : 'Not every step came out as it should.')
  return allRight
}

/** A request with a B-TID from nowhere, over a nonce that the AP did mint. */
async function inventedBtid(ue: Ue, url: string): Promise<UeResponse> {
  const knock = await ue.request('GET', url, { headers: { authorization: 'Digest' } })
  const [challenge] = parseChallenges([knock.header('www-authenticate') ?? ''])
  if (!challenge) return knock
  const { realm, nonce, opaque, algorithm } = challenge
  const authorization = formatAuthorization({
    username: `${toBase64(utf8('0123456789abcdef'))}@bsf.mnc001.mcc001.pub.3gppnetwork.org`,
    realm,
    nonce,
    uri: new URL(url).pathname,
    qop: 'auth',
    nc: '00000001',
    cnonce: 'demo',
    response: '0'.repeat(32),
    ...(opaque !== undefined && { opaque }),
    ...(algorithm !== undefined && { algorithm }),
  })
  return ue.request('GET', url, { headers: { authorization } })
}
