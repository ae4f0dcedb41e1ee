import { utf8 } from '../core/bytes.ts'
import type { StoredDocument } from '../store/store.ts'
import type { ApplicationUsage } from './auids.ts'
import { deleteNode, type EditOutcome, putAttribute, putElement, readNode } from './document-editor.ts'
import type { NodeSelector } from './node-selector.ts'
import { failedPrecondition, type Preconditions } from './preconditions.ts'
import { objection } from './validity.ts'
import type { XcapError } from './xcap-error.ts'
import { parseXmlDocument, type XmlDocument } from './xml-document.ts'

/** A request on one document, or on one node of it. */
export interface Operation {
  readonly usage: ApplicationUsage
  readonly selector?: NodeSelector
  readonly preconditions: Preconditions
  /** Octets of the largest document. */
  readonly limit: number
}

export interface Answer {
  readonly status: 200 | 201 | 304 | 404 | 409 | 412
  /** Of the document after the operation. */
  readonly etag?: string
  readonly body?: Uint8Array
  readonly contentType?: string
  readonly error?: XcapError
}

/** An answer and what is to be stored: undefined where there is to be no document. */
export interface Change {
  readonly answer: Answer
  readonly document: StoredDocument | undefined
}

/** Media type of what a selector addresses. @see RFC 4825 clause 15.2 */
export function contentTypeOf(usage: ApplicationUsage, selector: NodeSelector | undefined): string {
  if (!selector) return usage.mimeType
  if (!selector.terminal) return 'application/xcap-el+xml'
  return selector.terminal.kind === 'attribute' ? 'application/xcap-att+xml' : 'application/xcap-ns+xml'
}

/** @see RFC 4825 clause 8.4 */
export function readResource(current: StoredDocument | undefined, operation: Operation): Answer {
  const { usage, selector, preconditions } = operation
  const node = current && selector && readNode(storedXml(current), selector)
  const body = selector ? node !== undefined && utf8(node) : current?.body
  if (!current || !body) return { status: 404 }
  const { etag } = current
  const failed = failedPrecondition(preconditions, true, etag)
  if (failed) return { status: failed === 'if-none-match' ? 304 : 412, etag }
  return { status: 200, etag, body, contentType: contentTypeOf(usage, selector) }
}

/**
 * @param etag  of the document, if it changes; never used before
 * @see RFC 4825 clause 8.2
 */
export function putResource(
  current: StoredDocument | undefined,
  operation: Operation,
  body: Uint8Array,
  etag: string,
): Change {
  const { usage, selector, preconditions } = operation
  const document = selector && current && storedXml(current)
  const exists = selector ? document !== undefined && readNode(document, selector) !== undefined : current !== undefined
  if (failedPrecondition(preconditions, exists, current?.etag)) return unchanged(current, { status: 412 })
  const text = decode(body)
  if (text === undefined) return conflict(current, { error: 'not-utf-8', phrase: 'The body is not UTF-8' })
  const outcome = selector ? putNode(document, selector, text) : putDocument(text, !exists)
  if ('error' in outcome) return conflict(current, outcome)
  const failure = objectionTo(outcome.document, operation)
  if (failure) return conflict(current, failure)
  const stored = selector ? utf8(outcome.document.text) : body
  return {
    answer: { status: outcome.created ? 201 : 200, etag },
    document: { body: stored, contentType: usage.mimeType, etag },
  }
}

/**
 * @param etag  of the document, if one of its nodes goes
 * @see RFC 4825 clause 8.3
 */
export function deleteResource(current: StoredDocument | undefined, operation: Operation, etag: string): Change {
  const { selector, preconditions } = operation
  const outcome = current && (selector ? deleteNode(storedXml(current), selector) : 'whole')
  if (!current || !outcome) return unchanged(current, { status: 404 })
  if (failedPrecondition(preconditions, true, current.etag)) return unchanged(current, { status: 412 })
  if (outcome === 'whole') return { answer: { status: 200 }, document: undefined }
  if ('error' in outcome) return conflict(current, outcome)
  // No objection to look for: the root stays, and nothing can stand twice or grow by going.
  return { answer: { status: 200, etag }, document: { ...current, body: utf8(outcome.document.text), etag } }
}

const unchanged = (document: StoredDocument | undefined, answer: Answer): Change => ({ answer, document })

const conflict = (document: StoredDocument | undefined, error: XcapError): Change =>
  unchanged(document, { status: 409, error })

function putNode(document: XmlDocument | undefined, selector: NodeSelector, text: string): EditOutcome {
  if (!document) return { error: 'no-parent', phrase: 'The document does not exist', ancestor: undefined }
  return selector.terminal ? putAttribute(document, selector, text) : putElement(document, selector, text)
}

function putDocument(text: string, created: boolean): EditOutcome {
  const document = parseXmlDocument(text)
  switch (document) {
    case 'not-utf-8':
      return { error: 'not-utf-8', phrase: 'The document declares another encoding than UTF-8' }
    case 'not-well-formed':
      return { error: 'not-well-formed', phrase: 'The document is not well-formed, or it has a document type' }
    case 'too-complex':
      return { error: 'constraint-failure', phrase: 'Too many elements, or too deep within each other' }
    default:
      return { document, created }
  }
}

function objectionTo(document: XmlDocument, { usage, limit }: Operation): XcapError | undefined {
  if (Buffer.byteLength(document.text) > limit) {
    return { error: 'constraint-failure', phrase: 'The document would be too large' }
  }
  return objection(document, usage)
}

function storedXml({ body }: StoredDocument): XmlDocument {
  const document = parseXmlDocument(decode(body) ?? '')
  if (typeof document === 'string') throw new Error(`a stored document is ${document}`)
  return document
}

/** Strict, and a byte order mark stays what it is: part of what the client stored. */
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decode(octets: Uint8Array): string | undefined {
  try {
    return decoder.decode(octets)
  } catch {
    return undefined
  }
}
