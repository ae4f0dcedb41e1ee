import { concat, fromUtf8, utf8 } from '../core/bytes.ts'
import type { StoredDocument } from './store.ts'

/** The plaintext of a sealed document: length of the JSON (4) ‖ JSON ‖ body. */
export function encodeDocument({ body, ...rest }: StoredDocument): Uint8Array {
  const json = utf8(JSON.stringify(rest))
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, json.length)
  return concat(length, json, body)
}

/** Reads what `encodeDocument` wrote, from a value that was sealed. */
export function decodeDocument(value: Uint8Array): StoredDocument {
  const end = 4 + new DataView(value.buffer, value.byteOffset, value.length).getUint32(0)
  const rest: Omit<StoredDocument, 'body'> = JSON.parse(fromUtf8(value.subarray(4, end)))
  return { ...rest, body: Uint8Array.from(value.subarray(end)) }
}
