import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { toHex, utf8 } from '../../src/core/bytes.ts'
import {
  computeHa1,
  computeResponse,
  DIGEST_ALGORITHMS,
  type DigestAlgorithm,
  hashBody,
  type Qop,
} from '../../src/core/digest.ts'
import { peerTest } from '../support/peer.ts'

/** Written after RFC 7616 clause 3.4 for this test, with Python's hashlib: shares nothing with ours. */
const PYTHON = `
import hashlib, json, sys
HASHES = {'MD5': 'md5', 'SHA-256': 'sha256', 'SHA-512-256': 'sha512_256', 'AKAv1-MD5': 'md5', 'AKAv2-MD5': 'md5'}
def answer(case):
    base = case['algorithm'][:-5] if case['algorithm'].endswith('-sess') else case['algorithm']
    def H(*parts):
        octets = [part if isinstance(part, bytes) else part.encode('utf-8') for part in parts]
        return hashlib.new(HASHES[base], b':'.join(octets)).hexdigest()
    def H1(data):
        return hashlib.new(HASHES[base], data).hexdigest()
    a1 = H(case['username'], case['realm'], bytes.fromhex(case['password']))
    if base != case['algorithm']:
        a1 = H(a1, case['nonce'], case['cnonce'])
    def kd(method, body):
        a2 = H(method, case['uri'], H1(bytes.fromhex(body))) if case['qop'] == 'auth-int' else H(method, case['uri'])
        if case['qop'] is None:
            return H(a1, case['nonce'], a2)
        return H(a1, case['nonce'], case['nc'], case['cnonce'], case['qop'], a2)
    return {'response': kd(case['method'], case['body']), 'rspauth': kd('', case['responseBody'])}
json.dump([answer(case) for case in json.load(sys.stdin)], sys.stdout)
`

interface Case {
  readonly algorithm: DigestAlgorithm
  readonly qop: Qop | null
  readonly username: string
  readonly realm: string
  readonly password: string
  readonly nonce: string
  readonly nc: string
  readonly cnonce: string
  readonly method: string
  readonly uri: string
  readonly body: string
  readonly responseBody: string
}

const QOPS = ['auth', 'auth-int', null] as const
const ROUNDS = 20

/** Every algorithm with every qop, with octets and texts that look random and are the same in every run. */
function cases(): Case[] {
  return DIGEST_ALGORITHMS.flatMap((algorithm) =>
    QOPS.flatMap((qop) =>
      Array.from({ length: ROUNDS }, (_, round): Case => {
        const octets = (what: string, length: number) =>
          createHash('shake256', { outputLength: length }).update(`${algorithm} ${qop} ${round} ${what}`).digest()
        const length = (what: string, most: number) => (octets(what, 2).readUInt16BE() % most) + 1
        const random = (what: string, most: number) => octets(what, length(`length of ${what}`, most))
        return {
          ...{ algorithm, qop },
          username:
            round % 4 === 0
              ? `J\u00e4s\u00f8n ${round}`
              : `${random('username', 24).toString('base64')}@bsf.example.com`,
          realm: `3GPP-bootstrapping@${random('realm', 12).toString('hex')}.example.com`,
          password: toHex(round === 0 ? new Uint8Array() : random('password', 44)),
          nonce: random('nonce', 48).toString('base64'),
          nc: toHex(octets('nc', 4)),
          cnonce: random('cnonce', 32).toString('base64'),
          method: ['GET', 'PUT', 'DELETE'][round % 3] ?? 'GET',
          uri: `/resource-lists/users/sip:${random('uri', 16).toString('hex')}@example.com/index?a="b"`,
          body: toHex(round % 5 === 0 ? new Uint8Array() : random('body', 4000)),
          responseBody: toHex(round % 7 === 0 ? new Uint8Array() : random('response body', 4000)),
        }
      }),
    ),
  )
}

function ours({ algorithm, password, qop, username, realm, nonce, nc, cnonce, method, uri, body, responseBody }: Case) {
  const ha1 = computeHa1(algorithm, username, realm, Buffer.from(password, 'hex'), { nonce, cnonce })
  const digest = (verb: string, octets: string) => {
    const bodyHash = hashBody(algorithm, Buffer.from(octets, 'hex'))
    const count = qop === null ? {} : { qop, nc, cnonce }
    return computeResponse({ algorithm, ha1, nonce, ...count, method: verb, uri, bodyHash })
  }
  return { response: digest(method, body), rspauth: digest('', responseBody) }
}

function python(input: readonly Case[]): unknown {
  const { stdout, stderr, status } = spawnSync('python3', ['-c', PYTHON], {
    input: utf8(JSON.stringify(input)),
    encoding: 'utf8',
    maxBuffer: 16 * 1024 * 1024,
  })
  assert.equal(status, 0, stderr)
  return JSON.parse(stdout)
}

peerTest('Python computes the response and the rspauth that we compute', ['python3'], () => {
  const input = cases()
  assert.equal(input.length, DIGEST_ALGORITHMS.length * QOPS.length * ROUNDS)
  const theirs = python(input)
  assert.deepEqual(theirs, input.map(ours))
  assert.equal(new Set(input.map((value) => ours(value).response)).size, input.length)
})
