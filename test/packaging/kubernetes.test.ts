import assert from 'node:assert/strict'
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Deployment } from 'kubernetes-types/apps/v1.d.ts'
import type { ConfigMap, Container, PodSpec, Service } from 'kubernetes-types/core/v1.d.ts'
import type { NetworkPolicy } from 'kubernetes-types/networking/v1.d.ts'
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1.d.ts'
import { parse } from 'yaml'
import { checkFiles } from '../../src/cli/check.ts'
import { loadConfig } from '../../src/config/load.ts'
import { parseFqdn } from '../../src/core/identity.ts'
import { makeLabPki } from '../../src/tls/issue.ts'
import { writePki } from '../../src/tls/pki-files.ts'
import { afterProgram, assertKnownCommand } from '../support/command-line.ts'
import { emptyFolder, ROOT, removed } from '../support/package.ts'
import { run } from '../support/programs.ts'

const FOLDER = join(ROOT, 'deploy', 'kubernetes')
const read = <Kind>(file: string): Kind => parse(readFileSync(join(FOLDER, file), 'utf8'))
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))

/** Where kubernetes-types, which are made of the OpenAPI of Kubernetes 1.30, have the kinds that are used here. */
const KINDS: Readonly<Record<string, string>> = {
  'v1 Namespace': 'core/v1',
  'v1 ConfigMap': 'core/v1',
  'v1 Service': 'core/v1',
  'apps/v1 Deployment': 'apps/v1',
  'policy/v1 PodDisruptionBudget': 'policy/v1',
  'networking.k8s.io/v1 NetworkPolicy': 'networking/v1',
}

interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
}

const kustomization = read<Record<string, unknown>>('kustomization.yaml')
const files = kustomization.resources as string[]
const manifests = files.map((file) => read<Manifest>(file))
const deployment = read<Deployment>('deployment.yaml')
const pod = deployment.spec?.template.spec ?? assert.fail('no pod')
const containers: Container[] = [...(pod.initContainers ?? []), ...pod.containers]

let site: string
before(async () => {
  site = await emptyFolder('kubernetes')
})
after(() => removed(site))

/** What the compiler finds in objects of these kinds: unknown and missing keys, wrong types. */
async function compiled(list: readonly Manifest[]): Promise<string> {
  const lines = list.map(({ apiVersion, kind, ...rest }, i) => {
    const types = KINDS[`${apiVersion} ${kind}`] ?? assert.fail(`${apiVersion} ${kind} is not known to this test`)
    const path = join(ROOT, 'node_modules', 'kubernetes-types', types)
    return `import type { ${kind} as Kind${i} } from ${JSON.stringify(path)}
export const manifest${i}: Kind${i} = ${JSON.stringify({ apiVersion, kind, ...rest })}`
  })
  writeFileSync(join(site, 'manifests.ts'), `${lines.join('\n')}\n`)
  const { stdout } = await run(process.execPath, [
    join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc'),
    ...['--noEmit', '--strict', '--skipLibCheck', '--module', 'preserve', '--moduleResolution', 'bundler'],
    ...['--target', 'es2024', '--types', '', '--ignoreConfig', join(site, 'manifests.ts')],
  ])
  return stdout
}

describe('the manifests', () => {
  test('are all of their folder, and fit the schema of Kubernetes', async () => {
    assert.deepEqual([...files, 'kustomization.yaml'].sort(), readdirSync(FOLDER).sort())
    assert.equal(await compiled(manifests), '')
  })

  for (const [name, change] of [
    ['a misspelt key', (spec: PodSpec) => ({ ...spec, automountServiceAcountToken: true })],
    ['a wrong type', (spec: PodSpec) => ({ ...spec, terminationGracePeriodSeconds: '20' })],
    ['a missing key', ({ containers: _, ...spec }: PodSpec) => spec],
  ] as const) {
    test(`would not with ${name}`, async () => {
      const changed = structuredClone(deployment) as { spec: { template: { spec: object } } } & Manifest
      changed.spec.template.spec = change(pod)
      assert.match(await compiled([changed]), /error TS/)
    })
  }

  test('select the same pods', () => {
    const labels = deployment.spec?.template.metadata?.labels ?? {}
    const selectors = [
      deployment.spec?.selector.matchLabels,
      read<Service>('service.yaml').spec?.selector,
      read<PodDisruptionBudget>('poddisruptionbudget.yaml').spec?.selector?.matchLabels,
      read<NetworkPolicy>('networkpolicy.yaml').spec?.podSelector?.matchLabels,
    ]
    for (const selector of selectors) {
      const entries = Object.entries(selector ?? {})
      assert.ok(entries.length > 0 && entries.every(([key, value]) => labels[key] === value))
    }
  })

  test('fit the Pod Security Standard restricted, with nothing to write but volumes', () => {
    const { securityContext = {} } = pod
    assert.equal(securityContext.runAsNonRoot, true)
    assert.ok((securityContext.runAsUser ?? 0) > 0)
    assert.equal(securityContext.seccompProfile?.type, 'RuntimeDefault')
    for (const key of ['hostNetwork', 'hostPID', 'hostIPC'] as const) assert.equal(pod[key], undefined)
    assert.equal(pod.automountServiceAccountToken, false)
    for (const { securityContext: own, ports = [], resources } of containers) {
      assert.deepEqual(own, {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      })
      assert.ok(ports.every(({ hostPort }) => hostPort === undefined))
      assert.ok(resources?.limits?.memory && resources.requests?.cpu)
    }
    const kinds = (pod.volumes ?? []).flatMap(({ name: _, ...kind }) => Object.keys(kind))
    assert.deepEqual(
      kinds.filter((kind) => !['configMap', 'secret', 'projected', 'emptyDir'].includes(kind)),
      [],
    )
  })

  test('name volumes, ports and a ConfigMap that are there', () => {
    const volumes = new Set(pod.volumes?.map(({ name }) => name))
    for (const { volumeMounts = [] } of containers)
      for (const { name } of volumeMounts) assert.ok(volumes.has(name), name)
    const ports = new Set(containers.flatMap(({ ports: own = [] }) => own.map(({ name }) => name)))
    const named = [
      ...(read<Service>('service.yaml').spec?.ports ?? []).map(({ targetPort }) => targetPort),
      ...(read<NetworkPolicy>('networkpolicy.yaml').spec?.ingress ?? []).flatMap(({ ports: own = [] }) =>
        own.map(({ port }) => port),
      ),
    ]
    for (const name of named) assert.ok(typeof name === 'string' && ports.has(name), String(name))
    const config = pod.volumes?.find(({ configMap }) => configMap)?.configMap
    assert.equal(config?.name, read<ConfigMap>('configmap.yaml').metadata?.name)
  })

  test('run commands that this program takes, and no secret stands in them', async () => {
    const lines = containers.flatMap(({ command, args, startupProbe, livenessProbe, readinessProbe }) => [
      ...(command ? [command] : [['gba-proxy', ...(args ?? [])]]),
      ...[startupProbe, livenessProbe, readinessProbe].flatMap((probe) =>
        probe?.exec?.command ? [probe.exec.command] : [],
      ),
    ])
    const ours = lines.flatMap((line) => {
      const words = afterProgram(line)
      return words ? [words] : []
    })
    assert.equal(ours.length, 4)
    for (const words of ours) await assertKnownCommand(words)
    assert.equal(
      manifests.some(({ kind }) => kind === 'Secret'),
      false,
    )
  })

  test('have a configuration that check says is good, with the ports and the peers that the others let through', async () => {
    const naf = parseFqdn('xcap.ims.mnc001.mcc001.pub.3gppnetwork.org') ?? assert.fail()
    await writePki(
      site,
      await makeLabPki({ names: { naf: [naf], bsf: [], znClients: [] }, now: Date.now(), validDays: 60 }),
    )
    for (const [from, to] of [
      ['ap.pem', 'run/gba-proxy-tls/tls.crt'],
      ['ap.key', 'run/gba-proxy-tls/tls.key'],
    ] as const) {
      mkdirSync(join(site, to, '..'), { recursive: true })
      copyFileSync(join(site, from), join(site, to))
      chmodSync(join(site, to), 0o440) // as a secret is for its group
    }
    mkdirSync(join(site, 'run/gba-proxy'), { recursive: true })
    copyFileSync(join(ROOT, 'deploy/subscribers.example.yaml'), join(site, 'run/gba-proxy/subscribers.yaml'))
    const text = read<ConfigMap>('configmap.yaml').data?.['gba-proxy.yaml'] ?? ''
    const file = join(site, 'gba-proxy.yaml')
    writeFileSync(
      file,
      text.replaceAll(/\/run\/gba-proxy/g, (path) => join(site, path)),
    )
    chmodSync(join(site, 'run/gba-proxy/subscribers.yaml'), 0o400)
    const config = await loadConfig(file, {})
    const warned: string[] = []
    await checkFiles(config, Date.now(), (about) => warned.push(about))
    assert.deepEqual(warned, [join(site, 'run/gba-proxy-tls/tls.key')]) // of its group, as it has to be here
    const open = containers.flatMap(({ ports = [] }) => ports.map(({ containerPort }) => containerPort))
    assert.deepEqual([config.bsf?.ub.port, config.ap?.port], open)
    const out = (read<NetworkPolicy>('networkpolicy.yaml').spec?.egress ?? []).flatMap(({ ports = [] }) =>
      ports.map(({ port }) => port),
    )
    const peers = [config.store.redis?.nodes[0]?.split(':')[1], new URL(config.ap?.appServers[0]?.url ?? '').port]
    for (const port of peers) assert.ok(out.includes(Number(port)), port)
  })

  test('are put together under one namespace, with the version of this package', () => {
    const { namespace, images } = kustomization as { namespace: string; images: { name: string; newTag: string }[] }
    assert.ok(manifests.some(({ kind, metadata }) => kind === 'Namespace' && metadata.name === namespace))
    assert.ok(manifests.every(({ metadata }) => metadata.namespace === undefined))
    assert.deepEqual(
      images.map(({ name, newTag }) => [name, newTag]),
      [[containers[0]?.image, version]],
    )
    assert.equal(new Set(containers.map(({ image }) => image)).size, 1)
  })
})
