import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { DocumentStore, StoredDocument } from '../../src/store/store.ts'
import { type Adapter, flipLastBit, holds, isUnavailable, using } from './adapter.ts'

const SELECTOR = 'resource-lists/users/sip:alice@example.org/index'
const aDocument = (text: string, etag = 'e1'): StoredDocument => ({
  body: Buffer.from(text),
  contentType: 'application/resource-lists+xml',
  etag,
})
const shown = (document: StoredDocument | undefined) =>
  document && { ...document, body: Buffer.from(document.body).toString('latin1') }

export function documentStoreContract(
  adapter: Adapter<DocumentStore, { readonly maxDocuments: number }>,
  keeps: { readonly survivesRestart: boolean; readonly sealsAtRest: boolean },
): void {
  const on = (run: Parameters<typeof using<DocumentStore, { maxDocuments: number }>>[2]) =>
    using(adapter, { maxDocuments: 3 }, run)

  describe(`DocumentStore on ${adapter.name}`, () => {
    test(
      'a document is found once update has resolved, and gone once deleted',
      on(async (store) => {
        assert.equal(await store.find(SELECTOR), undefined)
        await store.update(SELECTOR, () => aDocument('<lists/>'))
        assert.deepEqual(shown(await store.find(SELECTOR)), shown(aDocument('<lists/>')))
        assert.equal(await store.find(`${SELECTOR}2`), undefined)
        await store.update(SELECTOR, () => undefined)
        assert.equal(await store.find(SELECTOR), undefined)
        await store.update(SELECTOR, () => undefined)
      }),
    )

    test(
      'update sees what is stored',
      on(async (store) => {
        const seen: unknown[] = []
        for (const text of ['a', 'b', 'c']) {
          await store.update(SELECTOR, (current) => {
            seen.push(current && Buffer.from(current.body).toString())
            return aDocument(text)
          })
        }
        assert.deepEqual(seen, [undefined, 'a', 'b'])
      }),
    )

    test(
      'of 20 racing writers each builds on another’s result',
      on(async (store) => {
        const append = (current: StoredDocument | undefined) =>
          aDocument(`${current ? Buffer.from(current.body).toString() : ''}x`)
        await Promise.all(Array.from({ length: 20 }, () => store.update(SELECTOR, append)))
        assert.equal((await store.find(SELECTOR))?.body.length, 20)
      }),
    )

    test(
      'an error of the caller passes through and changes nothing',
      on(async (store) => {
        const mine = new Error('If-Match failed')
        await store.update(SELECTOR, () => aDocument('kept'))
        await assert.rejects(
          store.update(SELECTOR, () => {
            throw mine
          }),
          (error) => error === mine,
        )
        assert.equal(Buffer.from((await store.find(SELECTOR))?.body ?? []).toString(), 'kept')
      }),
    )

    test(
      'every octet and every length comes back',
      on(async (store) => {
        for (const length of [0, 1, 255, 70_000]) {
          const body = Uint8Array.from({ length }, (_, at) => at)
          await store.update(SELECTOR, () => ({ ...aDocument(''), body }))
          assert.deepEqual(Buffer.from((await store.find(SELECTOR))?.body ?? []), Buffer.from(body))
        }
      }),
    )

    test(
      'a selector may be long, empty of letters, or nearly another',
      on(async (store) => {
        const selectors = [`${'a'.repeat(8_000)}/1`, `${'a'.repeat(8_000)}/2`, 'é/users/%C3%A9']
        for (const selector of selectors) await store.update(selector, () => aDocument(selector))
        for (const selector of selectors) {
          assert.equal(Buffer.from((await store.find(selector))?.body ?? []).toString(), selector)
        }
      }),
    )

    test(
      'what a caller does to its octets afterwards changes nothing',
      on(async (store) => {
        const mine = aDocument('original')
        await store.update(SELECTOR, () => mine)
        mine.body.fill(0)
        ;(await store.find(SELECTOR))?.body.fill(0)
        await store.update(SELECTOR, (current) => {
          const copy = current && { ...current, body: Uint8Array.from(current.body) }
          current?.body.fill(0)
          return copy
        })
        assert.equal(Buffer.from((await store.find(SELECTOR))?.body ?? []).toString(), 'original')
      }),
    )

    test(
      'a full store refuses a new document and still changes and deletes those it has',
      on(async (store) => {
        for (const selector of ['a', 'b', 'c']) await store.update(selector, () => aDocument('1'))
        await assert.rejects(
          store.update('d', () => aDocument('1')),
          isUnavailable,
        )
        await store.update('a', () => aDocument('2'))
        await store.update('b', () => undefined)
        await store.update('d', () => aDocument('1'))
        assert.ok(await store.find('d'))
      }),
    )

    if (keeps.survivesRestart) {
      test(
        'a document survives a restart',
        on(async (store, opened) => {
          await store.update(SELECTOR, () => aDocument('<lists/>'))
          const again = await opened.reopen?.()
          assert.ok(again)
          assert.deepEqual(shown(await again.store.find(SELECTOR)), shown(aDocument('<lists/>')))
          await again.close()
        }),
      )
    }

    if (keeps.sealsAtRest) {
      test(
        'neither body nor selector lies in the clear',
        on(async (store, { rest }) => {
          await store.update(SELECTOR, () => aDocument('<entry uri="sip:bob@example.org"/>'))
          const octets = await rest?.octets()
          assert.ok(octets && octets.length > 0)
          for (const text of ['bob', 'alice', 'resource-lists']) assert.equal(holds(octets, Buffer.from(text)), false)
        }),
      )

      test(
        'a changed or moved record is refused',
        on(async (store, { rest }) => {
          await store.update('a', () => aDocument('1'))
          await store.update('b', () => aDocument('2'))
          await rest?.swap()
          await assert.rejects(store.find('a'), isUnavailable)
          await rest?.swap()
          await rest?.tamper(flipLastBit)
          await assert.rejects(store.find('a'), isUnavailable)
          await assert.rejects(
            store.update('a', (current) => current),
            isUnavailable,
          )
        }),
      )
    }
  })
}
