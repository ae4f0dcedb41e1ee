import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { UA_HTTP_DIGEST } from '../../src/core/naf-id.ts'
import { impuOf } from '../../src/lab.ts'
import { handUe } from '../support/hand-ue.ts'
import { testLab } from '../support/lab.ts'
import { rawExchange } from '../support/raw-client.ts'
import { assertRefused } from '../support/refusals.ts'

// The listener without TLS is no way round what a route wants within TLS.
const treeOf = (auid: string) => `/${auid}/users/${impuOf('alice')}/index`

describe('a route that takes auth-int only', () => {
  test('takes nothing else without TLS, where auth is allowed for the other routes', async () => {
    const lab = await testLab({
      recording: true,
      ap: {
        insecurePlainUa: { host: '127.0.0.1', port: 0, qop: ['auth', 'auth-int'] },
        challenge: { qop: ['auth'] },
        routes: [
          { appServer: 'lab', pathPrefix: '/pres-rules', challenge: { qop: ['auth-int'] } },
          { appServer: 'lab', pathPrefix: '/' },
        ],
      },
    })
    try {
      const ue = await handUe(lab, { uaId: UA_HTTP_DIGEST })
      const plain = { port: lab.app.addresses.plainUa?.port ?? 0 }
      const put = async (auid: string, qop: 'auth' | 'auth-int') =>
        rawExchange(plain, await ue.signed('PUT', treeOf(auid), { qop, body: '<a/>' }))
      await assertRefused(lab, () => put('pres-rules', 'auth'), {
        status: 401,
        code: 'UA_OFFERED_ELSEWHERE',
        stale: true,
      })
      assert.equal((await put('pres-rules', 'auth-int')).status, 200)
      assert.equal((await put('resource-lists', 'auth')).status, 200)
      assert.equal((await put('resource-lists', 'auth-int')).status, 200)
    } finally {
      await lab.close()
    }
  })
})
