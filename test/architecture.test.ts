import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import t from 'tap'

/** Which of our folders each folder of src may import, besides itself. `dev` is for development and tests alone. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'cli.ts': ['cli'],
  'bundle.ts': ['cli', 'config', 'server'],
  // What starts the bundle is no part of it.
  launch: ['bundle', 'app', 'config', 'metrics', 'plugins', 'policies', 'rules', 'schema-compilers', 'services', 'strict-ajv'],
  cli: ['config', 'environment', 'object-storage', 'server', 'services', 'readings', 'database', 'doctor', 'policies', 'jobs', 'webhooks', 'uploads', 'explain', 'plugins', 'errors'],
  // It looks at what the service stands on, by the service's own means.
  doctor: ['config', 'database', 'object-storage', 'plugins', 'policies', 'services'],
  'server.ts': ['config', 'database', 'services', 'app', 'jobs', 'logs', 'metrics'],
  jobs: ['errors', 'object-storage', 'policies', 'files', 'services', 'uploads', 'webhooks', 'version'],
  'app.ts': ['built-ahead', 'database', 'files', 'policies', 'uploads', 'downloads', 'deletions', 'usage', 'uppy', 'tickets', 'config', 'events', 'webhooks', 'plugins', 'problem-schemas', 'services', 'schema-compilers', 'logs', 'version'],
  'readings.ts': ['config', 'database', 'errors', 'files', 'policies'],
  'services.ts': ['config', 'database', 'object-storage', 'policies', 'files', 'tickets', 'events', 'webhooks', 'metrics', 'new-id', 'logs', 'tracing', 'version'],
  // A hint makes happen now what the sweeper does later.
  events: ['take-turns', 'uploads', 'policies', 'errors', 'services', 'problem-schemas'],
  uploads: ['send-list', 'take-turns', 'files', 'policies', 'object-storage', 'errors', 'user', 'services', 'readings', 'problem-schemas', 'strict-ajv', 'string-enum'],
  // What stores say, in words: it knows the protocol and nothing of the service.
  explain: [],
  // Uppy's clients get what /uploads gives: it owns no rules.
  uppy: ['uploads', 'files', 'policies', 'errors', 'user', 'services', 'problem-schemas', 'string-enum'],
  tickets: ['policies', 'database', 'errors', 'user', 'services', 'problem-schemas'],
  deletions: ['files', 'errors', 'user', 'services', 'problem-schemas', 'string-enum'],
  usage: ['policies', 'user', 'services', 'problem-schemas'],
  downloads: ['files', 'policies', 'errors', 'user', 'services', 'problem-schemas', 'string-enum'],
  files: ['send-list', 'take-turns', 'policies', 'database', 'object-storage', 'errors', 'user', 'services', 'problem-schemas', 'string-enum'],
  policies: ['errors', 'user', 'services', 'webhooks', 'problem-schemas', 'string-enum', 'rules'],
  webhooks: ['files', 'database', 'errors', 'user', 'services', 'problem-schemas', 'string-enum'],
  database: ['cohorts', 'errors'],
  'object-storage': ['errors'],
  plugins: ['cohorts', 'errors', 'user', 'problem-schemas', 'string-enum'],
  'problem-schemas.ts': ['errors', 'string-enum'],
  'string-enum.ts': [],
  'schema-compilers.ts': ['built-ahead', 'strict-ajv'],
  'built-ahead.ts': ['schema-compilers'],
  'send-list.ts': ['take-turns'],
  'take-turns.ts': [],
  'strict-ajv.ts': [],
  'rules.ts': ['built-ahead'],
  'errors.ts': [],
  'cohorts.ts': [],
  'user.ts': ['errors'],
  'version.ts': [],
  metrics: [],
  tracing: [],
  'new-id.ts': [],
  'logs.ts': ['config'],
  'config.ts': ['config-rules', 'environment', 'object-storage', 'rules'],
  'environment.ts': ['object-storage', 'string-enum'],
  'config-rules.ts': [],
  // What browsers get: nothing of the service belongs in it.
  client: [],
  dev: ['config', 'server', 'logs', 'cli', 'dev']
}

/** Where each package may be imported. */
const PACKAGES: ReadonlyArray<[packages: RegExp, allowed: RegExp]> = [
  [/^(fastify|fastify-plugin|@fastify\/.*)$/, /^(app\.ts|schema-compilers\.ts|send-list\.ts|plugins\/.*|.*\/routes\.ts|dev\/page-routes\.ts)$/],
  [/^@aws-sdk\//, /^(object-storage\/.*|dev\/dev\.ts)$/],
  [/^(pg|@photostructure\/sqlite)$/, /^database\//],
  [/^kysely$/, /^(database\/.*|.*-repository\.ts|files\/(file-row|file-queries|file-events|usage|insert-pending|insert-at-once|insert-rows|measure-files|spend-ticket|replace-content|due-files|inventory)\.ts|webhooks\/(outbox|webhook-urls|delivery-list)\.ts|services\.ts)$/],
  [/^@sinclair\/typebox$/, /^(.*schemas\.ts|environment\.ts|string-enum\.ts|policies\/(policy|load-policies)\.ts|webhooks\/webhook-endpoint\.ts|plugins\/health\.ts)$/],
  [/^helmet$/, /^plugins\/security-headers\.ts$/],
  [/^ioredis$/, /^plugins\/shared-counters\.ts$/],
  [/^fast-json-stringify$/, /^(schema-compilers|launch\/build-ahead)\.ts$/],
  [/^ajv(\/dist\/standalone\/index\.js)?$/, /^(strict-ajv|rules|launch\/build-ahead)\.ts$/],
  [/^pino$/, /^(logs|services)\.ts$/],
  [/^yaml$/, /^(policies\/load-policies|plugins\/openapi)\.ts$/],
  [/^@opentelemetry\//, /^tracing\/open-telemetry\.ts$/],
  [/^prom-client$/, /^metrics\/prometheus\.ts$/],
  [/^jose$/, /^(plugins\/key-set|cli\/token)\.ts$/],
  [/^file-type$/, /^uploads\/content-signature\.ts$/],
  [/^(busboy|fast-xml-parser|esbuild|pino-pretty)$/, /^dev\//]
]

const files = sourceFiles('src')

function sourceFiles (folder: string): Array<{ path: string, text: string, imports: string[] }> {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.ts'))
  return names.map(name => {
    const text = readFileSync(`${folder}/${name}`, 'utf8')
    const imports = [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(([, name]) => name as string)
    return { path: name.replaceAll('\\', '/'), text, imports }
  })
}

t.test('there are files to look at', async t => { t.ok(files.length > 60) })

t.test('folders import what the table allows', async t => {
  for (const { path, imports } of files) {
    const own = path.includes('/') ? path.split('/')[0] as string : path
    const allowed = MAY_IMPORT[own]
    if (!t.ok(allowed, `${path} is in the table`)) continue
    for (const name of imports.filter(name => name.startsWith('.'))) {
      const target = posix.join(posix.dirname(path), name).replace(/\.js$/, '')
      const folder = target.split('/')[0] as string
      t.ok(folder === own || allowed?.includes(folder), `${path} imports ${name}`)
    }
  }
})

t.test('packages are imported where they belong', async t => {
  for (const { path, imports } of files) {
    for (const name of imports.filter(name => !name.startsWith('.') && !name.startsWith('node:'))) {
      const rule = PACKAGES.find(([packages]) => packages.test(name))
      if (t.ok(rule, `${name}, imported by ${path}, is in the table`)) t.match(path, rule?.[1], `${path} imports ${name}`)
    }
  }
})

t.test('the environment is read where a process starts', async t => {
  const readers = files.filter(({ text }) => text.includes('process.env')).map(({ path }) => path)
  t.same(readers.filter(path => !path.startsWith('dev/')), ['cli/run-command.ts', 'launch/compile-ahead.ts'])
  t.same(readers.filter(path => path.startsWith('dev/')).sort(), ['dev/dev.ts', 'dev/main.ts', 'dev/s3/main.ts', 'dev/s3/server.ts', 'dev/token.ts'])
})

t.test('names say what is inside', async t => {
  for (const { path, text } of files) {
    t.match(path, /^([a-z0-9-]+\/)*[a-z0-9-]+\.ts$/, `${path} is kebab-case`)
    t.notMatch(path, /(^|\/)(utils?|helpers?|common|index|misc)(\/|\.ts$)/, path)
    t.notMatch(text, /^export default /m, `${path} exports by name`)
    t.notMatch(text, /\benum [A-Z]|\bnamespace [A-Z]|: any\b|as any\b|@ts-ignore|eslint-disable/, path)
  }
})

t.test('every dependency is used, and nothing is used that is not one', async t => {
  const { dependencies, optionalDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, Record<string, string>>
  const used = new Set(files.filter(({ path }) => !path.startsWith('dev/')).flatMap(({ imports, text }) => [...imports, ...[...text.matchAll(/require\('([^']+)'\)/g)].map(([, name]) => name as string)]).filter(name => !name.startsWith('.') && !name.startsWith('node:')).map(name => name.replace(/^(@[^/]+\/[^/]+|[^/]+).*/, '$1')))
  t.same([...used].sort(), Object.keys({ ...dependencies, ...optionalDependencies }).sort())
})
