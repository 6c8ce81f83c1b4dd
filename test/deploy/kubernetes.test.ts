import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import t from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import { Environment } from '../../src/environment.js'
import { FINISH_TIMEOUT_MS } from '../../src/server.js'
import { BACKGROUND_TIMEOUT_MS } from '../../src/services.js'
import { runCli } from '../helpers/process.js'
import { checkManifests, type Manifest } from './fixtures/check-manifests.js'

type Labels = Readonly<Record<string, string>>
interface Probe { readonly httpGet: { readonly path: string, readonly port: string } }
interface Container {
  readonly image: string
  readonly args?: readonly string[]
  readonly envFrom: ReadonlyArray<{ readonly configMapRef?: { readonly name: string }, readonly secretRef?: { readonly name: string } }>
  readonly ports?: ReadonlyArray<{ readonly name: string, readonly containerPort: number }>
  readonly startupProbe?: Probe
  readonly livenessProbe?: Probe
  readonly readinessProbe?: Probe
  readonly resources: unknown
  readonly volumeMounts?: ReadonlyArray<{ readonly name: string, readonly mountPath: string }>
}
interface Pod {
  readonly metadata: { readonly labels: Labels, readonly annotations?: Labels }
  readonly spec: {
    readonly serviceAccountName: string
    readonly terminationGracePeriodSeconds?: number
    readonly topologySpreadConstraints?: ReadonlyArray<{ readonly labelSelector: { readonly matchLabels: Labels } }>
    readonly containers: readonly Container[]
    readonly volumes?: ReadonlyArray<{ readonly name: string, readonly configMap: { readonly name: string } }>
  }
}
interface Resource extends Manifest {
  readonly metadata: { readonly name: string, readonly labels: Labels }
  readonly data?: Record<string, string>
  readonly stringData?: Record<string, string>
  readonly spec: {
    readonly replicas?: number
    readonly minAvailable?: number
    readonly template?: Pod
    readonly jobTemplate?: { readonly spec: { readonly template: Pod } }
    readonly selector?: Labels & { readonly matchLabels?: Labels }
    readonly podSelector?: { readonly matchLabels: Labels }
    readonly podMetricsEndpoints?: ReadonlyArray<{ readonly port: string, readonly path: string }>
    readonly rules?: unknown
  }
}

const FOLDER = 'deploy/kubernetes'
const files = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.yaml'))
const resources = files.flatMap(file => parseAllDocuments(readFileSync(join(FOLDER, file), 'utf8')).map(document => document.toJS() as Resource))
const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
const paths = Object.keys((parse(readFileSync('openapi.yaml', 'utf8')) as { paths: object }).paths)

const pods = resources.flatMap(({ kind, metadata, spec }) => {
  const pod = spec?.template ?? spec?.jobTemplate?.spec.template
  return pod ? [{ name: `${kind} ${metadata.name}`, metadata, pod, container: pod.spec.containers[0] as Container }] : []
})
const service = pods.find(({ name }) => name === 'Deployment presignd')
const config = find('ConfigMap', 'presignd').data ?? {}
const secret = find('Secret', 'presignd').stringData ?? {}
if (!service) throw new Error('There is no deployment')

t.test('every manifest is what Kubernetes takes, and has no field that it does not know', async t => {
  // What extends Kubernetes is described elsewhere.
  const own = resources.filter(({ apiVersion }) => !apiVersion.startsWith('monitoring.coreos.com/'))
  t.ok(own.length > 8)
  t.same(checkManifests(own), [])
  const broken = [{ ...own[0], metadata: { nmae: 'slip' } }, { apiVersion: 'apps/v1', kind: 'Deployment', spec: { replicas: 'two' } }] as unknown as Manifest[]
  t.ok(checkManifests(broken).length >= 2, 'a slip would be seen')
})

t.test('what `kubectl apply -f` takes holds no secret', async t => {
  for (const file of readdirSync(FOLDER).filter(name => name.endsWith('.yaml'))) t.notMatch(readFileSync(join(FOLDER, file), 'utf8'), /^kind: Secret$/m, file)
})

t.test('every pod runs this version', async t => {
  t.ok(pods.length >= 3)
  for (const { name, metadata, container } of pods) {
    t.equal(container.image, `presignd:${version}`, name)
    t.equal(metadata.labels['app.kubernetes.io/version'], version, name)
  }
  t.ok(pods.some(({ name, container }) => name === `Job presignd-migrate-${version.replaceAll('.', '-')}` && container.args?.join() === 'migrate'))
})

t.test('every pod has no more rights than it needs, and says what it takes', async t => {
  for (const { name, pod, container } of pods) {
    t.match(pod.spec, { automountServiceAccountToken: false, enableServiceLinks: false, securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } } }, name)
    t.match(container, { securityContext: { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } } }, name)
    t.match(container.resources, { requests: { cpu: String, memory: String }, limits: { memory: String } }, name)
  }
})

t.test('whatever is named is there', async t => {
  const names = new Set(resources.map(({ kind, metadata }) => `${kind} ${metadata.name}`))
  for (const { name, pod, container } of pods) {
    const wanted = [
      `ServiceAccount ${pod.spec.serviceAccountName}`,
      ...container.envFrom.map(({ configMapRef, secretRef }) => configMapRef ? `ConfigMap ${configMapRef.name}` : `Secret ${secretRef?.name}`),
      ...(pod.spec.volumes ?? []).map(({ configMap }) => `ConfigMap ${configMap.name}`)
    ]
    for (const one of wanted) t.ok(names.has(one), `${name}: ${one}`)
    t.same((container.volumeMounts ?? []).map(mount => mount.name), (pod.spec.volumes ?? []).map(volume => volume.name), name)
  }
})

t.test('whoever selects the pods of the service, selects them and no others', async t => {
  const others = pods.filter(one => one !== service)
  const selectors = [
    ...resources.filter(({ kind }) => ['Deployment', 'Service', 'PodDisruptionBudget', 'PodMonitor'].includes(kind)).map(({ kind, spec }) => [kind, spec.selector?.matchLabels ?? spec.selector as Labels] as const),
    ...service.pod.spec.topologySpreadConstraints?.map(({ labelSelector }) => ['spread', labelSelector.matchLabels] as const) ?? []
  ]
  t.equal(selectors.length, 6)
  for (const [name, selector] of selectors) {
    t.ok(isSelected(selector, service.pod.metadata.labels), name)
    for (const other of others) t.notOk(isSelected(selector, other.pod.metadata.labels), `${name} and ${other.name}`)
  }
  // Migrations and reconciling need the database, too.
  const policy = resources.find(({ kind }) => kind === 'NetworkPolicy')?.spec.podSelector?.matchLabels ?? {}
  for (const { name, pod } of pods) t.ok(isSelected(policy, pod.metadata.labels), name)
})

t.test('there are two replicas, of which one may go at a time', async t => {
  const { replicas = 0 } = find('Deployment', 'presignd').spec
  t.equal(replicas, 2)
  t.equal(find('PodDisruptionBudget', 'presignd').spec.minAvailable, replicas - 1)
})

t.test('probes, ports and metrics are where the service has them', async t => {
  const { startupProbe, livenessProbe, readinessProbe, ports = [] } = service.container
  t.match([startupProbe, livenessProbe, readinessProbe].map(probe => probe?.httpGet), [{ path: '/livez', port: 'http' }, { path: '/livez', port: 'http' }, { path: '/readyz', port: 'http' }])
  for (const path of ['/livez', '/readyz']) t.ok(paths.includes(path), path)
  const [, port] = /^ {4}PORT=(\d+)$/m.exec(readFileSync('Dockerfile', 'utf8')) ?? []
  t.same(ports, [{ name: 'http', containerPort: Number(port) }, { name: 'metrics', containerPort: Number(config['METRICS_PORT']) }])
  t.match(service.pod.metadata.annotations, { 'prometheus.io/port': config['METRICS_PORT'], 'prometheus.io/path': '/metrics' })
  t.match(find('PodMonitor', 'presignd').spec.podMetricsEndpoints, [{ port: 'metrics', path: '/metrics' }])
})

t.test('F32: the pod is given the time that the service takes to end', async t => {
  const longest = Number(config['SHUTDOWN_DRAIN_SECONDS']) + (FINISH_TIMEOUT_MS + BACKGROUND_TIMEOUT_MS) / 1000
  t.ok((service.pod.spec.terminationGracePeriodSeconds ?? 0) > longest)
})

t.test('every variable is one of presignd or of the AWS SDK, and none that is secret is in the open', async t => {
  for (const name of [...Object.keys(config), ...Object.keys(secret)]) t.ok(name in Environment.properties || /^AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY)$/.test(name), name)
  for (const name of Object.keys(config)) t.notMatch(name, /SECRET|PASSWORD|TOKEN|ACCESS_KEY|DATABASE_URL|REDIS_URL/)
})

t.test('presignd config check takes it', async t => {
  const { pod, container } = service
  const mount = container.volumeMounts?.find(({ mountPath }) => mountPath === dirname(config['POLICIES_FILE'] ?? ''))
  const volume = pod.spec.volumes?.find(({ name }) => name === mount?.name)
  const policies = find('ConfigMap', volume?.configMap.name ?? '').data?.[basename(config['POLICIES_FILE'] ?? '')]
  t.ok(policies)
  const folder = mkdtempSync(join(tmpdir(), 'presignd-test-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'policies.yaml'), policies ?? '')
  const running = runCli(t, ['config', 'check'], { ...config, ...secret, POLICIES_FILE: join(folder, 'policies.yaml') })
  t.equal(await running.ended, 0, running.stderr())
  t.equal(running.stderr(), '')
})

function find (kind: string, name: string): Resource {
  const found = resources.find(resource => resource.kind === kind && resource.metadata.name === name)
  if (!found) throw new Error(`${FOLDER} has no ${kind} ${name}`)
  return found
}

function isSelected (selector: Labels, labels: Labels): boolean {
  return Object.entries(selector).length > 0 && Object.entries(selector).every(([name, value]) => labels[name] === value)
}
