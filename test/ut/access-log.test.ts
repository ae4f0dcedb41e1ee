import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Impu } from '../../src/core/identity.ts'
import { attributeValue, childElements, parseXml } from '../../src/core/xml.ts'
import { FAULTS, type FaultCode, GbaError } from '../../src/errors.ts'
import type { AccessEntry } from '../../src/store/store.ts'
import {
  ACCESS_LOG_AUID,
  ACCESS_LOG_NAMESPACE,
  ACCESS_LOG_TYPE,
  type Access,
  accessEntryOf,
  accessLogDocument,
  accessLogPolicy,
  answerAccessLog,
  isAccessLog,
  requireAccessLog,
} from '../../src/ut/access-log.ts'
import { authorise, type RoutePolicy } from '../../src/ut/authorise.ts'
import { parseXcapUri } from '../../src/ut/xcap-uri.ts'

const alice = 'sip:alice@example.org' as Impu
const aliceTel = 'tel:+15550100' as Impu
const bob = 'sip:bob@example.org' as Impu
const AT = Date.parse('2026-11-21T10:00:00.123Z')
const listOfAlice = parseXcapUri('/resource-lists/users/sip:alice@example.org/index/~~/resource-lists/list%5b1%5d')
const logOfAlice = parseXcapUri(`/${ACCESS_LOG_AUID}/users/sip:alice@example.org/index`)
const own = (...assertedIdentities: Impu[]) => ({ assertedIdentities, ownTree: true })
const foreign = (...assertedIdentities: Impu[]) => ({ assertedIdentities, ownTree: false })
const access = (changes: Partial<Access>): Access => ({
  at: AT,
  method: 'GET',
  uri: listOfAlice,
  outcome: 200,
  isAuthenticated: false,
  ...changes,
})
const actorIn = (changes: Partial<Access>) => accessEntryOf(access(changes))?.entry.actor

describe('accessEntryOf', () => {
  test('an owner’s request is in the log of the XUI, with its instant, method, document and status', () => {
    assert.deepEqual(accessEntryOf(access({ method: 'PUT', outcome: 201, grant: own(alice), isAuthenticated: true })), {
      owner: alice,
      entry: {
        at: AT,
        actor: 'self',
        method: 'PUT',
        documentSelector: 'resource-lists/users/sip:alice@example.org/index',
        outcome: 201,
      },
    })
  })

  test('an owner who acts under another of its identities is the owner all the same', () => {
    assert.equal(actorIn({ grant: own(aliceTel), isAuthenticated: true }), 'self')
  })

  test('another subscriber who was let through is named by the identity asserted', () => {
    assert.equal(actorIn({ grant: foreign(bob, 'sip:b@example.org' as Impu), isAuthenticated: true }), bob)
  })

  test('what was permitted is recorded whatever became of it', () => {
    for (const code of ['UT_AS_UNREACHABLE', 'UT_AS_TIMEOUT', 'UT_AS_WANTS_CREDENTIALS'] as const) {
      const outcome = FAULTS[code].ut
      const left = accessEntryOf(access({ grant: foreign(bob), isAuthenticated: true, code, outcome }))
      assert.deepEqual([left?.entry.actor, left?.entry.outcome], [bob, outcome])
    }
  })

  test('a request in the global tree is in nobody’s log', () => {
    const uri = parseXcapUri('/resource-lists/global/index')
    assert.equal(accessEntryOf(access({ uri, grant: own(alice), isAuthenticated: true })), undefined)
    assert.equal(accessEntryOf(access({ uri, isAuthenticated: true, code: 'UT_GLOBAL_READ_ONLY' })), undefined)
  })

  test('of the log itself the owner’s reading is not recorded, and the tries of others are', () => {
    assert.equal(actorIn({ uri: logOfAlice, grant: own(alice), isAuthenticated: true }), undefined)
    assert.equal(
      actorIn({ uri: logOfAlice, isAuthenticated: true, code: 'UT_TREE_NOT_OWNED', outcome: 403 }),
      'refused',
    )
  })

  /** Codes that are tries, with what authentication had proved by then. */
  const tries = new Map<FaultCode, 'authenticated' | 'unproven'>([
    ['UA_RESPONSE_WRONG', 'unproven'],
    ['UA_NC_REUSED', 'unproven'],
    ['UT_IDENTITY_MALFORMED', 'authenticated'],
    ['UT_IDENTITY_HEADER_FORBIDDEN', 'authenticated'],
    ['UT_IMPU_NOT_OWNED', 'authenticated'],
    ['UT_TREE_NOT_OWNED', 'authenticated'],
    ['UT_USS_MISSING', 'authenticated'],
  ])
  for (const [code, proof] of tries) {
    test(`${code} is a try, and names nobody`, () => {
      const outcome = FAULTS[code].ut ?? 0
      const left = accessEntryOf(access({ code, outcome, ...(proof === 'authenticated' && { isAuthenticated: true }) }))
      assert.deepEqual([left?.owner, left?.entry.actor, left?.entry.outcome], [alice, 'refused', outcome])
    })
  }

  const before: readonly FaultCode[] = [
    'UA_CREDENTIALS_MISSING',
    'UA_CREDENTIALS_MALFORMED',
    'UA_TOKEN_MISSING',
    'UA_NONCE_AGED',
    'UA_NONCE_FORGOTTEN',
    'UA_NONCE_UNKNOWN',
    'UA_KEY_EXPIRED',
    'ZN_BTID_UNKNOWN',
    'ZN_NOT_AUTHORISED',
    'ZN_BSF_UNREACHABLE',
    'STORE_UNAVAILABLE',
    'UT_METHOD_NOT_ALLOWED',
  ]
  for (const code of before) {
    test(`${code} leaves nothing`, () => assert.equal(actorIn({ code, outcome: FAULTS[code].ut ?? 0 }), undefined))
  }

  test('of an authenticated subscriber’s refusals only the forbidden ones are tries', () => {
    for (const code of Object.keys(FAULTS) as FaultCode[]) {
      const isTry = FAULTS[code].ut === 403 || tries.has(code)
      assert.equal(actorIn({ code, isAuthenticated: true }), isTry ? 'refused' : undefined, code)
    }
  })

  test('texts that a stranger chooses are cut', () => {
    const uri = { ...listOfAlice, documentSelector: 'x'.repeat(8_000) }
    const left = accessEntryOf(access({ uri, method: 'P'.repeat(8_000), grant: foreign(bob), isAuthenticated: true }))
    assert.equal(left?.entry.documentSelector.length, 512)
    assert.equal(left?.entry.method.length, 16)
  })
})

const anEntry = (changes: Partial<AccessEntry> = {}): AccessEntry => ({
  at: AT,
  actor: 'self',
  method: 'GET',
  documentSelector: listOfAlice.documentSelector,
  outcome: 200,
  ...changes,
})

/** What a reader finds in a log document. */
function entriesIn(document: string) {
  const root = parseXml(document, { maxBytes: 1_000_000 })
  assert.ok(root)
  assert.deepEqual([root.local, root.ns], ['log', ACCESS_LOG_NAMESPACE])
  return childElements(root, 'entry').map((entry) => {
    assert.equal(entry.ns, ACCESS_LOG_NAMESPACE)
    return Object.fromEntries(entry.attributes.map(({ local, value }) => [local, value]))
  })
}

describe('accessLogDocument', () => {
  test('is an XML document with an entry for each access, in their order', () => {
    const entries = [anEntry({ actor: 'refused', method: 'DELETE', outcome: 403 }), anEntry({ at: AT - 1, actor: bob })]
    const document = accessLogDocument(alice, entries)
    const documentSelector = 'resource-lists/users/sip:alice@example.org/index'
    assert.deepEqual(entriesIn(document), [
      {
        time: '2026-11-21T10:00:00.123Z',
        actor: 'refused',
        method: 'DELETE',
        document: documentSelector,
        status: '403',
      },
      { time: '2026-11-21T10:00:00.122Z', actor: bob, method: 'GET', document: documentSelector, status: '200' },
    ])
    const root = parseXml(document)
    assert.equal(root && attributeValue(root, 'owner'), alice)
  })

  test('an empty log is a document, too', () => {
    assert.deepEqual(entriesIn(accessLogDocument(alice, [])), [])
  })

  test('whatever document a stranger names, the owner can read the log', () => {
    const wild = fc.string({ unit: 'binary', maxLength: 40 })
    const broken = fc.array(fc.constantFrom('\ud800', '\udc00', '\uffff', '\0', '"', '<', '&', ']]>', '\n', 'é'))
    fc.assert(
      fc.property(
        fc.oneof(
          wild,
          broken.map((parts) => parts.join('')),
        ),
        (documentSelector) => {
          const [entry] = entriesIn(accessLogDocument(alice, [anEntry({ documentSelector })]))
          assert.equal(entry?.document?.length, documentSelector.replaceAll(/[\u{1fffe}-\u{1ffff}]/gu, '??').length)
          assert.equal(entry?.actor, 'self')
        },
      ),
    )
  })
})

describe('an access log as an XCAP resource', () => {
  const code = (wanted: FaultCode) => (error: unknown) => error instanceof GbaError && error.code === wanted
  const at = (path: string) => parseXcapUri(`/${ACCESS_LOG_AUID}${path}`)

  test('is known by its AUID in any letter case', () => {
    for (const auid of [ACCESS_LOG_AUID, ACCESS_LOG_AUID.toUpperCase()]) {
      assert.ok(isAccessLog(parseXcapUri(`/${auid}/users/sip:alice@example.org/index`)))
    }
    assert.equal(isAccessLog(listOfAlice), false)
  })

  test('is the index of an XUI, below any root', () => {
    assert.equal(requireAccessLog('GET', logOfAlice), alice)
    assert.equal(requireAccessLog('HEAD', at('/users/tel:+1-555-0100/index')), aliceTel)
    const below = parseXcapUri(`/xcap/${ACCESS_LOG_AUID}/users/sip:alice@example.org/index?x=1`, '/xcap')
    assert.equal(requireAccessLog('GET', below), alice)
  })

  for (const path of [
    '/global/index',
    '/users/sip:alice@example.org/other',
    '/users/sip:alice@example.org/index/index',
    '/users/sip:alice@example.org/index/~~/log/entry%5b1%5d',
  ]) {
    test(`${path} is not there`, () => assert.throws(() => requireAccessLog('GET', at(path)), code('UT_ROUTE_UNKNOWN')))
  }

  for (const method of ['PUT', 'DELETE', 'POST', 'OPTIONS']) {
    test(`${method} is not allowed`, () =>
      assert.throws(() => requireAccessLog(method, logOfAlice), code('UT_METHOD_NOT_ALLOWED')))
  }

  const policies: RoutePolicy[] = (['owner', 'owner-write', 'as-decides'] as const).map((ownership) => ({
    appServer: 'as',
    gsids: [3],
    ownership,
    ownershipByAuid: { [ACCESS_LOG_AUID]: ownership },
  }))
  for (const policy of policies) {
    test(`is read by its owner only, where the route says ${policy.ownership}`, () => {
      const subjectOf = (uids: Impu[]) => ({
        btid: 'b@bsf.example.org' as never,
        ussList: [{ gsid: 3, gsType: 3, uids, flags: [] }],
      })
      const read = (uids: Impu[], intended?: Impu) =>
        authorise(subjectOf(uids), logOfAlice, 'GET', intended, accessLogPolicy(policy))
      assert.deepEqual(read([aliceTel, alice]).assertedIdentities, [alice])
      assert.throws(() => read([bob]), code('UT_TREE_NOT_OWNED'))
      assert.throws(() => read([bob], alice), code('UT_IMPU_NOT_OWNED'))
    })
  }
})

describe('answerAccessLog', () => {
  const entries = [anEntry()]
  const { headers, ...whole } = answerAccessLog(alice, entries, {})
  const { etag = '' } = headers

  test('gives the document with its type and a strong ETag, and lets nobody else keep it', () => {
    assert.equal(whole.status, 200)
    assert.equal(Buffer.from(whole.body).toString(), accessLogDocument(alice, entries))
    assert.match(etag, /^"[\w-]{43}"$/)
    assert.equal(headers['content-type'], ACCESS_LOG_TYPE)
    assert.equal(headers['cache-control'], 'private, no-cache')
  })

  test('the ETag stays while the log does, and changes with it', () => {
    assert.equal(answerAccessLog(alice, [anEntry()], {}).headers.etag, etag)
    assert.notEqual(answerAccessLog(alice, [anEntry({ outcome: 404 })], {}).headers.etag, etag)
    assert.notEqual(answerAccessLog(aliceTel, entries, {}).headers.etag, etag)
  })

  for (const [condition, status] of [
    [{ ifNoneMatch: etag }, 304],
    [{ ifNoneMatch: `W/${etag}` }, 304],
    [{ ifNoneMatch: `"a", ${etag}` }, 304],
    [{ ifNoneMatch: '*' }, 304],
    [{ ifNoneMatch: '"a"' }, 200],
    [{ ifNoneMatch: etag.slice(1, -1) }, 200],
    [{ ifMatch: etag }, 200],
    [{ ifMatch: '*' }, 200],
    [{ ifMatch: '"a"' }, 412],
    [{ ifMatch: `W/${etag}` }, 412],
    [{ ifMatch: '"a"', ifNoneMatch: etag }, 412],
  ] as const) {
    test(`${JSON.stringify(condition).replace(etag, 'its tag')} is answered ${status}`, () => {
      const answer = answerAccessLog(alice, entries, condition)
      assert.equal(answer.status, status)
      assert.equal(answer.headers.etag, etag)
      assert.equal(answer.body.length > 0, status === 200)
    })
  }
})
