import { octetsOf } from '../core/bytes.ts'
import { decodeDocument, encodeDocument } from './document-record.ts'
import { corrupted, full } from './faults.ts'
import type { LmdbEnvironment } from './lmdb-environment.ts'
import { entryCount } from './lmdb-file.ts'
import { recordKey, seal, unseal } from './seal.ts'
import type { DocumentStore, SqnStore, StoredDocument } from './store.ts'

export { lmdbBootstrapStore } from './lmdb-bootstraps.ts'
export { type LmdbEnvironment, type LmdbOptions, openLmdb } from './lmdb-environment.ts'

/**
 * Sequence numbers in LMDB: durable when `update` resolves; those of one turn share a write of the disk. Its `next` runs
 * inside the transaction, and again where another's mistake undid that.
 */
export function lmdbSqnStore({ file, keys, commit }: LmdbEnvironment): SqnStore {
  const database = 'sqns'
  const sqns = file.database(database)
  function open(key: Uint8Array): Uint8Array | undefined {
    const sealed = sqns.get(key)
    const sqn = sealed && unseal(keys, { database, key }, sealed)
    if (sealed !== undefined && sqn === undefined) throw corrupted('SQN')
    return sqn && Uint8Array.from(sqn)
  }
  return {
    async find(impi) {
      const key = recordKey(keys, database, impi)
      return file.read(() => open(key))
    },
    async update(impi, next) {
      const key = recordKey(keys, database, impi)
      return commit(() => {
        const sqn = octetsOf('SQN', next(open(key)), 6)
        sqns.putSync(key, seal(keys, { database, key }, sqn))
        return sqn
      })
    },
  }
}

/** The lab's documents in LMDB: durable when `update` resolves. Its `next` runs inside the transaction. */
export function lmdbDocumentStore(
  { file, keys }: LmdbEnvironment,
  { maxDocuments = 1_000_000 }: { readonly maxDocuments?: number } = {},
): DocumentStore {
  const database = 'documents'
  const documents = file.database(database)

  function open(key: Uint8Array, sealed: Uint8Array | undefined): StoredDocument | undefined {
    if (sealed === undefined) return undefined
    const value = unseal(keys, { database, key }, sealed)
    if (value === undefined) throw corrupted('document')
    return decodeDocument(value)
  }

  return {
    async find(documentSelector) {
      const key = recordKey(keys, database, documentSelector)
      return open(
        key,
        file.read(() => documents.get(key)),
      )
    },
    async update(documentSelector, next) {
      const key = recordKey(keys, database, documentSelector)
      file.write(() => {
        const current = open(key, documents.get(key))
        const document = next(current)
        if (document === undefined) {
          if (current !== undefined) documents.removeSync(key)
          return
        }
        if (current === undefined && entryCount(documents) >= maxDocuments) throw full('document store', maxDocuments)
        documents.putSync(key, seal(keys, { database, key }, encodeDocument(document)))
      })
    },
  }
}
