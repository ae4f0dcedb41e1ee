import type { EpochMs } from '../core/bytes.ts'
import { hashA2 } from '../core/digest.ts'
import { type ChangingParam, type ChangingValue, changingValuesIn, isUsualValue } from '../core/digest-header.ts'
import type { Presented, UaRequest } from './verify.ts'

/** Where the last credentials of requests for the same, under the same rules, are kept. */
export interface Familiar {
  credentials: FamiliarCredentials | undefined
}

/**
 * Credentials that were read and found in order, as far as no key is needed, to hold others against: those that differ
 * in nc, cnonce and response alone are in order as well. Nothing is proven by that, and a response is computed each time.
 */
export class FamiliarCredentials {
  readonly #presented: Presented
  readonly #values: readonly ChangingValue[]
  /** Of the header: before the first value, between the values, and behind the last one. */
  readonly #parts: readonly string[]
  readonly #length: number
  #ofRequest: string | undefined
  #ofAnswer: string | undefined

  constructor(presented: Presented, header: string, values: readonly ChangingValue[]) {
    this.#presented = { ...presented, familiar: this }
    this.#values = values
    this.#parts = [...values, { from: header.length }].map(({ from }, i) => header.slice(values[i - 1]?.to ?? 0, from))
    this.#length = header.length
  }

  /** @param presented  what was read of the request's one Authorization header. @returns undefined: it is not written in the usual way */
  static of(presented: Presented): FamiliarCredentials | undefined {
    const [header] = presented.request.authorization
    const values = header === undefined ? undefined : changingValuesIn(header)
    return header === undefined || values === undefined ? undefined : new FamiliarCredentials(presented, header, values)
  }

  /** What is read of a request for the same, under the same rules. @returns undefined: it has to be read in full */
  read(request: UaRequest, now: EpochMs): Presented | undefined {
    const [header, ...more] = request.authorization
    const { credentials, nonce } = this.#presented
    if (header === undefined || more.length > 0 || nonce.mintedAt > now) return undefined
    const found = this.#valuesOf(header)
    if (found === undefined) return undefined
    const { cnonce } = found
    return {
      ...this.#presented,
      request,
      cnonce,
      nc: Number.parseInt(found.nc, 16),
      credentials: { ...credentials, cnonce, nc: found.nc, response: found.response },
    }
  }

  /** H(A2) of these requests; with the empty method, of their answers. */
  ha2(method: string): string {
    const { algorithm, credentials, request } = this.#presented
    if (method === '') {
      this.#ofAnswer ??= hashA2(algorithm, '', credentials.uri)
      return this.#ofAnswer
    }
    this.#ofRequest ??= hashA2(algorithm, request.method, credentials.uri)
    return this.#ofRequest
  }

  #valuesOf(header: string): Readonly<Record<ChangingParam, string>> | undefined {
    if (header.length !== this.#length) return undefined
    const found = { nc: '', cnonce: '', response: '' }
    let at = 0
    for (let i = 0; i < this.#parts.length; i++) {
      const [part = '', value] = [this.#parts[i], this.#values[i]]
      if (!header.startsWith(part, at)) return undefined
      if (value === undefined) break
      const text = header.slice(value.from, value.to)
      if (!isUsualValue(value.name, text)) return undefined
      found[value.name] = text
      at = value.to
    }
    return found
  }
}
