import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe } from 'node:test'
import { LAB_BSF, LAB_NAF, LAB_SECOND_NAF, LAB_ZN_CLIENT } from '../../src/lab.ts'
import { makeLabPki } from '../../src/tls/issue.ts'
import { writePki } from '../../src/tls/pki-files.ts'
import { NBSP_GBA_PATH } from '../../src/zn/nbsp-gba.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { peerTest } from '../support/peer.ts'
import { run } from '../support/programs.ts'

/** No system-wide settings: what openssl offers is what the arguments say. */
const ENV = { ...process.env, OPENSSL_CONF: '/dev/null' }

describe('openssl s_client', () => {
  let lab: TestLab
  let certs: string
  before(async () => {
    lab = await testLab()
    certs = join(lab.directory, 'certs')
  })
  after(() => lab.close())

  async function connect(to: 'ap' | 'zn', name: string, args: readonly string[], stdin = '') {
    const place = ['-connect', `127.0.0.1:${lab.app.addresses[to]?.port}`, '-servername', name]
    const trust = ['-CAfile', join(certs, 'ca.pem'), '-verify_hostname', name, '-verify_return_error']
    const { status, stdout, stderr } = await run('openssl', ['s_client', ...place, ...trust, ...args], {
      stdin,
      env: ENV,
    })
    return { status, text: `${stdout}${stderr}` }
  }

  describe('at the AP', () => {
    for (const version of ['-tls1', '-tls1_1']) {
      peerTest(`is refused with ${version}`, ['openssl'], async () => {
        const { status, text } = await connect('ap', LAB_NAF, [version, '-cipher', 'ALL:@SECLEVEL=0'])
        assert.equal(status, 1)
        assert.match(text, /alert protocol version/)
      })
    }

    for (const [version, name, cipher] of [
      ['-tls1_2', 'TLSv1.2', 'ECDHE-ECDSA-AES128-GCM-SHA256'],
      ['-tls1_3', 'TLSv1.3', 'TLS_AES_128_GCM_SHA256'],
    ] as const) {
      // each order of the client's: the listener has its own
      for (const [order, offer] of [
        ['its own order', []],
        [
          'the reverse order',
          [
            ...['-cipher', 'ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256'],
            ...['-ciphersuites', 'TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256'],
          ],
        ],
      ] as const) {
        for (const naf of [LAB_NAF, LAB_SECOND_NAF]) {
          peerTest(`trusts ${naf}, and gets ${cipher} with ${version} in ${order}`, ['openssl'], async () => {
            const { status, text } = await connect('ap', naf, [version, '-brief', ...offer])
            assert.equal(status, 0, text)
            assert.match(text, new RegExp(`^Protocol version: ${name}$`, 'm'))
            assert.match(text, new RegExp(`^Ciphersuite: ${cipher}$`, 'm'))
            assert.match(text, /^Verification: OK$/m)
            assert.match(text, new RegExp(`^Verified peername: ${naf}$`, 'm'))
          })
        }
      }
    }

    peerTest('is told by an alert that a name is no NAF of ours', ['openssl'], async () => {
      const { status, text } = await connect('ap', `other.${LAB_NAF}`, ['-brief'])
      assert.equal(status, 1)
      assert.match(text, /SSL alert number 112/)
    })

    for (const cipher of [
      'AES128-GCM-SHA256',
      'ECDHE-ECDSA-AES128-SHA256',
      'ECDHE-ECDSA-AES128-SHA',
      'aNULL',
      '3DES',
    ]) {
      peerTest(`is refused with ${cipher} only`, ['openssl'], async () => {
        const { status, text } = await connect('ap', LAB_NAF, ['-tls1_2', '-cipher', `${cipher}:@SECLEVEL=0`])
        assert.equal(status, 1)
        // Debian's openssl has no 3DES to offer
        assert.match(text, /alert handshake failure|no cipher match|no ciphers available/)
      })
    }

    peerTest('is refused a renegotiation', ['openssl'], async () => {
      const { text } = await connect('ap', LAB_NAF, ['-tls1_2'], 'R\n')
      assert.match(text, /RENEGOTIATING/)
      assert.match(text, /no renegotiation/)
    })
  })

  describe('at Zn', () => {
    const knock = `POST ${NBSP_GBA_PATH} HTTP/1.1\r\nHost: ${LAB_BSF}\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`
    const shows = (stem: string, directory = certs) => [
      ...['-cert', join(directory, `${stem}.pem`), '-key', join(directory, `${stem}.key`)],
    ]
    /** What it is told of HTTP, if anything. */
    async function asks(args: readonly string[]) {
      const { text } = await connect('zn', LAB_BSF, ['-ign_eof', ...args], knock)
      assert.match(text, /^Verification: OK$/m)
      return { text, status: /^HTTP\/1\.1 (\d{3}) /m.exec(text)?.[1] }
    }

    for (const version of ['-tls1_2', '-tls1_3']) {
      peerTest(`is heard with the certificate of a listed NAF, ${version}`, ['openssl'], async () => {
        // heard, and told that {} is no request
        assert.equal((await asks([version, ...shows(`zn-${LAB_ZN_CLIENT}`)])).status, '400')
      })

      peerTest(`is refused without a certificate, ${version}`, ['openssl'], async () => {
        const { text, status } = await asks([version])
        assert.equal(status, undefined)
        assert.match(text, version === '-tls1_3' ? /alert certificate required/ : /alert handshake failure/)
      })

      peerTest(`is refused with a certificate of another CA that says the same, ${version}`, ['openssl'], async (t) => {
        const directory = join(lab.directory, 'another-ca')
        t.after(() => rm(directory, { recursive: true, force: true }))
        const names = { bsf: [LAB_BSF], naf: [LAB_NAF], znClients: [{ name: LAB_ZN_CLIENT }] }
        await writePki(directory, await makeLabPki({ names, now: Date.now(), validDays: 1 }))
        assert.equal((await asks([version, ...shows(`zn-${LAB_ZN_CLIENT}`, directory)])).status, undefined)
      })

      peerTest(`is refused with the server certificate of the AP, ${version}`, ['openssl'], async () => {
        assert.equal((await asks([version, ...shows('ap')])).status, undefined)
      })

      peerTest(`cannot resume: each connection shows its certificate anew, ${version}`, ['openssl'], async () => {
        const session = join(lab.directory, `session${version}.pem`)
        const first = await asks([version, ...shows(`zn-${LAB_ZN_CLIENT}`), '-sess_out', session])
        assert.equal(first.status, '400')
        const second = await asks([version, '-sess_in', session])
        assert.equal(second.status, undefined)
        assert.doesNotMatch(second.text, /^Reused, /m)
      })
    }

    peerTest('is told the names of the CAs that count', ['openssl'], async () => {
      const { text } = await asks([])
      assert.match(text, /^Acceptable client certificate CA names\nCN = gba-proxy lab CA/m)
    })

    peerTest('is refused with TLS 1.1', ['openssl'], async () => {
      const { status, text } = await connect('zn', LAB_BSF, ['-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'])
      assert.equal(status, 1)
      assert.match(text, /alert protocol version/)
    })
  })
})
