import { readFileSync } from 'node:fs'
import { fromHex } from '../../src/core/bytes.ts'
import { Secret } from '../../src/core/secret.ts'

/** A file of test/vectors, in the shape that the test expects of it. */
export function vectors<Shape>(name: string): Shape {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}`, import.meta.url), 'utf8')) as Shape
}

export const hex = (text: string): Uint8Array => fromHex(text)

export const secret = (text: string): Secret => new Secret(fromHex(text))
