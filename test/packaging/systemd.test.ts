import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { afterProgram, assertKnownCommand } from '../support/command-line.ts'
import { emptyFolder, ROOT, removed } from '../support/package.ts'
import { peerTest } from '../support/peer.ts'
import { run } from '../support/programs.ts'

const FOLDER = join(ROOT, 'deploy', 'systemd')
const unit = readFileSync(join(FOLDER, 'gba-proxy.service'), 'utf8')
const dropIn = readFileSync(join(FOLDER, 'permission.conf'), 'utf8')

/** Of 100, as systemd-analyze counts; below 2.0 of 10 is what it has now. */
const MOST_EXPOSURE = 20

let site: string
const place = (name: string) => join(site, name, 'gba-proxy.service')
before(async () => {
  site = await emptyFolder('systemd')
  // systemd-analyze looks whether the program is there, which it is not on a machine that only tests it
  const here = (text: string) => text.replaceAll('/usr/local/bin/gba-proxy', process.execPath)
  for (const name of ['plain', 'permission', 'misspelt']) mkdirSync(join(site, name))
  for (const name of ['plain', 'permission']) writeFileSync(place(name), here(unit))
  mkdirSync(`${place('permission')}.d`)
  writeFileSync(join(`${place('permission')}.d`, 'permission.conf'), here(dropIn))
  writeFileSync(place('misspelt'), here(unit).replace('ProtectHome', 'ProtectHose'))
})
after(() => removed(site))

const verify = (name: string) => run('systemd-analyze', ['verify', '--man=no', place(name)])

describe('the systemd unit', () => {
  peerTest('is one that systemd takes without a warning', ['systemd-analyze'], async () => {
    const { status, stdout, stderr } = await verify('plain')
    assert.deepEqual([status, stdout, stderr], [0, '', ''])
  })

  peerTest('is one with the drop-in for permissions, too', ['systemd-analyze'], async () => {
    const { status, stdout, stderr } = await verify('permission')
    assert.deepEqual([status, stdout, stderr], [0, '', ''])
  })

  peerTest('would be told of with a misspelt key', ['systemd-analyze'], async () => {
    assert.match((await verify('misspelt')).stderr, /ProtectHose/)
  })

  peerTest('exposes little', ['systemd-analyze'], async () => {
    const options = ['--offline=true', `--threshold=${MOST_EXPOSURE}`, '--no-pager']
    const { status, stdout } = await run('systemd-analyze', ['security', ...options, place('plain')])
    assert.equal(status, 0, stdout)
    assert.match(stdout, /Overall exposure level for gba-proxy\.service: [01]\.\d/)
  })

  test('keeps core dumps off, and takes from the process what it does not need', () => {
    const lines = unit.split('\n')
    for (const line of [
      'LimitCORE=0',
      'NoNewPrivileges=yes',
      'ProtectSystem=strict',
      'StateDirectory=gba-proxy',
      'AmbientCapabilities=CAP_NET_BIND_SERVICE',
      'CapabilityBoundingSet=CAP_NET_BIND_SERVICE',
      'UMask=0077',
    ]) {
      assert.ok(lines.includes(line), line)
    }
  })

  test('runs commands that this program takes', async () => {
    const lines = [...`${unit}\n${dropIn}`.matchAll(/^Exec(?:Start|StartPre)=(.*)$/gm)].map(([, line = '']) =>
      line.replace(/^\/usr\/bin\/env -u NODE_OPTIONS /, '').split(' '),
    )
    assert.equal(lines.length, 2)
    for (const line of lines) await assertKnownCommand(afterProgram(line) ?? assert.fail(line.join(' ')))
  })

  peerTest('has a user that systemd-sysusers makes', ['systemd-sysusers'], async () => {
    const { status, stderr } = await run('systemd-sysusers', ['--dry-run', join(FOLDER, 'sysusers.conf')])
    assert.equal(status, 0, stderr)
    assert.match(stderr, /gba-proxy/)
    assert.match(unit, /^User=gba-proxy$/m)
  })
})
