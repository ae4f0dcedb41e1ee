import assert from 'node:assert/strict'
import { test } from 'node:test'
import { impuOf } from '../../src/lab.ts'
import { handUe } from '../support/hand-ue.ts'
import { testLab } from '../support/lab.ts'

test('a service type that a route accepts is one that the AP may ask of the BSF in its own process', async () => {
  const routes = [{ appServer: 'lab', gsTypes: [77] }]
  const lab = await testLab({ recording: true, ap: { routes } })
  try {
    const ue = await handUe(lab)
    assert.equal((await ue.request('GET', `/resource-lists/users/${impuOf('alice')}/index`)).status, 200)
  } finally {
    await lab.close()
  }
})
