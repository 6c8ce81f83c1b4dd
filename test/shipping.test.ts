import { existsSync, readFileSync, statSync } from 'node:fs'
import { Script } from 'node:vm'
import { Ajv } from 'ajv'
import t from 'tap'
import { parse } from 'yaml'
import { Environment } from '../src/environment.js'
import { FINISH_TIMEOUT_MS } from '../src/server.js'
import { BACKGROUND_TIMEOUT_MS } from '../src/services.js'
import { runCli } from './helpers/process.js'

interface Service {
  image?: string
  environment?: Record<string, string>
  depends_on?: Record<string, { condition: string }>
  healthcheck?: { test: string[] }
  ports?: string[]
  init?: boolean
  stop_grace_period?: string
  read_only?: boolean
  security_opt?: string[]
  volumes?: string[]
  configs?: Array<{ source: string }>
}
interface Compose {
  services: Record<string, Service>
  volumes: Record<string, unknown>
  configs: Record<string, { content: string }>
}
interface Stage { base: string, platform: string | null, name: string | null, instructions: Array<{ name: string, value: string }> }

const readText = (name: string): string => readFileSync(name, 'utf8')
const packageJson = JSON.parse(readText('package.json')) as { version: string, license: string, engines: { node: string } }
// What the AWS SDK reads by itself, and what Node and npm packages look at.
// And what the Dockerfile is told.
const FOREIGN_VARIABLES = new Set(['NODE_IMAGE', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'NODE_ENV'])
const SECRET_NAME = /SECRET|PASSWORD|TOKEN|ACCESS_KEY|CREDENTIAL|PRIVATE/i

t.test('Dockerfile', async t => {
  const stages = parseDockerfile(readText('Dockerfile'))
  const last = stages.at(-1)
  if (!last) throw new Error('The Dockerfile has no stage')
  const valuesOf = (name: string, stage = last): string[] => stage.instructions.filter(it => it.name === name).map(it => it.value)

  t.test('has stages to build and to install in, and a last one that does neither, but runs what it holds', async t => {
    t.ok(stages.length >= 2)
    t.same(valuesOf('RUN'), ['node --disable-warning=ExperimentalWarning dist/compile-ahead.js >/dev/null'])
    for (const { base } of stages) t.match(base, /^\$\{NODE_IMAGE\}$/, 'one base for all, which may be given from outside with a digest')
  })

  t.test('stands on the exact Node that CI runs the tests on', async t => {
    const [, version] = /^ARG NODE_IMAGE=node:(\d+\.\d+\.\d+)-bookworm-slim$/m.exec(readText('Dockerfile')) ?? []
    t.equal(version, /^NODE_24=(.*)$/m.exec(readText('.ci/run'))?.[1])
  })

  t.test('makes what it copies on the processor of the builder, and is itself of any', async t => {
    t.same(stages.map(stage => stage.platform), [...stages.slice(0, -1).map(() => '$BUILDPLATFORM'), null])
  })

  t.test('copies from stages that exist, and files that exist and are not ignored', async t => {
    const names = new Set(stages.map(stage => stage.name))
    const ignored = ignoreRules(readText('.dockerignore'))
    for (const copy of stages.flatMap(stage => valuesOf('COPY', stage))) {
      const from = /^--from=(\S+)/.exec(copy)?.[1]
      if (from !== undefined) {
        t.ok(names.has(from), `stage ${from}`)
        continue
      }
      for (const source of copy.split(/\s+/).filter(part => !part.startsWith('--')).slice(0, -1)) {
        t.ok(existsSync(source), `${source} exists`)
        t.notOk(ignored(source), `${source} reaches the build`)
      }
    }
  })

  t.test('leaves out development dependencies, development mode and install scripts', async t => {
    const installs = new Map(stages.flatMap(stage => valuesOf('RUN', stage).filter(run => run.includes('npm ci')).map(run => [stage.name, run])))
    for (const [stage, install] of installs) t.match(install, '--ignore-scripts', `${stage}`)
    const modulesFrom = valuesOf('COPY').map(copy => /^--from=(\S+) \S*node_modules/.exec(copy)?.[1]).filter(from => from !== undefined)
    t.equal(modulesFrom.length, 1)
    t.match(installs.get(modulesFrom[0] ?? ''), '--omit=dev')
    t.ok(ignoreRules(readText('.dockerignore'))('src/dev'))
  })

  t.test('keeps local data and secrets out of the build', async t => {
    const ignored = ignoreRules(readText('.dockerignore'))
    for (const path of ['.env', '.git', '.data', 'node_modules', 'dist', 'test', 'presignd.db']) t.ok(ignored(path), path)
  })

  t.test('runs as a user who is not root', async t => {
    const user = valuesOf('USER').at(-1)
    t.match(user, /^[1-9]\d*:[1-9]\d*$/, 'by number, so that Kubernetes can tell')
    t.ok(last.instructions.findLastIndex(it => it.name === 'USER') < last.instructions.findLastIndex(it => it.name === 'CMD'))
  })

  t.test('starts the same program as npm start, in exec form, so that it gets the signals', async t => {
    const { scripts } = JSON.parse(readText('package.json')) as { scripts: Record<string, string> }
    const [command = '', ...args] = [...valuesOf('ENTRYPOINT'), ...valuesOf('CMD')].flatMap(value => JSON.parse(value) as string[])
    t.same(valuesOf('COPY').filter(copy => copy.endsWith(' /usr/local/bin/')), [`deploy/${command} /usr/local/bin/`])
    const [, program = ''] = /^exec (.*) "\$@"$/m.exec(readText(`deploy/${command}`)) ?? []
    t.equal([program.replace('/app/', ''), ...args].join(' '), scripts['start'])
    t.ok(statSync(`deploy/${command}`).mode & 0o001, 'anyone may run it')
    t.same(valuesOf('STOPSIGNAL'), ['SIGTERM'])
  })

  t.test('checks its health in exec form, on a path that asks nothing of others', async t => {
    const [healthcheck = ''] = valuesOf('HEALTHCHECK')
    const command = JSON.parse(healthcheck.slice(healthcheck.indexOf('['))) as string[]
    t.equal(command[0], 'node')
    t.match(command.at(-1), '/livez')
    t.doesNotThrow(() => new Script(command.at(-1) ?? ''), 'the one line parses')
  })

  t.test('has no secret among its variables, and no variable that the service does not know', async t => {
    const names = stages.flatMap(stage => [...valuesOf('ENV', stage), ...valuesOf('ARG', stage)]).flatMap(value => [...value.matchAll(/([A-Z][A-Z0-9_]*)(?==|$)/g)].map(match => match[1] ?? ''))
    t.ok(names.length > 0)
    for (const name of names) {
      t.notMatch(name, SECRET_NAME)
      t.ok(isKnown(name), name)
    }
  })

  t.test('is labelled with the version and license of package.json', async t => {
    const labels = new Map([...valuesOf('LABEL').join(' ').matchAll(/(org\.opencontainers\.image\.\w+)="([^"]*)"/g)].map(match => [match[1], match[2]]))
    t.equal(labels.get('org.opencontainers.image.version'), packageJson.version)
    t.equal(labels.get('org.opencontainers.image.licenses'), packageJson.license)
  })
})

t.test('compose.yaml', async t => {
  const text = readText('compose.yaml')
  const compose = parse(text) as Compose
  const { presignd, postgres, s3, bucket } = compose.services
  if (!presignd || !postgres || !s3 || !bucket) throw new Error('compose.yaml lacks a service')

  t.test('is what the Compose Specification describes', async t => {
    // The schema of https://github.com/compose-spec/compose-spec, as the linter brings it.
    const { $schema, ...schema } = JSON.parse(readText('node_modules/dclint/schemas/compose.schema.json')) as Record<string, unknown>
    const validate = new Ajv({ strict: false, allErrors: true, validateFormats: false }).compile(schema)
    t.ok(validate(compose), JSON.stringify(validate.errors))
    t.notOk(validate({ ...compose, services: { presignd: { ...presignd, helthcheck: {} } } }), 'a slip would be seen')
  })

  t.test('gives presignd the time that it takes to end', async t => {
    const drainSeconds = Number(presignd.environment?.['SHUTDOWN_DRAIN_SECONDS'] ?? Environment.properties.SHUTDOWN_DRAIN_SECONDS.default)
    t.match(presignd.stop_grace_period, /^\d+s$/)
    t.ok(parseInt(presignd.stop_grace_period ?? '') > drainSeconds + (FINISH_TIMEOUT_MS + BACKGROUND_TIMEOUT_MS) / 1000)
  })

  t.test('is a configuration that presignd takes', async t => {
    const filled = Object.entries(presignd.environment ?? {}).map(([name, value]) => [name, value.replaceAll(/\$\{[A-Z0-9_]+:([?-])([^}]*)\}/g, (_, kind, text) => kind === '-' ? text : 'made-up-and-long-enough-for-every-rule')])
    const running = runCli(t, ['config', 'check'], { ...Object.fromEntries(filled), POLICIES_FILE: presignd.environment?.['POLICIES_FILE']?.replace('/app/', '') })
    t.equal(await running.ended, 0, running.stderr())
    t.equal(running.stderr(), '')
  })

  t.test('sets only variables that presignd knows, and all that it requires', async t => {
    const names = Object.keys(presignd.environment ?? {})
    for (const name of names) t.ok(isKnown(name), name)
    for (const name of Environment.required ?? []) {
      const hasDefault = 'default' in Environment.properties[name as keyof typeof Environment.properties]
      t.ok(hasDefault || names.includes(name), name)
    }
  })

  t.test('holds no secret: each comes from outside, and a missing one stops the start with a message', async t => {
    for (const [service, { environment = {} }] of Object.entries(compose.services)) {
      for (const [name, value] of Object.entries(environment)) {
        if (SECRET_NAME.test(name) && name !== 'AWS_ACCESS_KEY_ID') t.match(value, /^\$\{[A-Z0-9_]+:\?.+\}$/, `${service}: ${name}`)
      }
    }
    t.match(presignd.environment?.['DATABASE_URL'], /:\$\{POSTGRES_PASSWORD:\?.+\}@/)
  })

  t.test('names in its head every secret that one has to set', async t => {
    const required = new Set([...text.matchAll(/\$\{([A-Z0-9_]+):\?/g)].map(match => match[1]))
    const head = text.slice(0, text.indexOf('\nname:'))
    for (const name of required) t.match(head, name)
  })

  t.test('pins every image by tag', async t => {
    for (const [service, { image }] of Object.entries(compose.services)) t.match(image, /^[\w./-]+:(?!latest)[\w.-]*\d[\w.-]*$/, service)
    t.equal(presignd.image, `presignd:${packageJson.version}`)
  })

  t.test('starts presignd when the database answers and the bucket is there', async t => {
    t.same(presignd.depends_on, { postgres: { condition: 'service_healthy' }, bucket: { condition: 'service_completed_successfully' } })
    t.same(bucket.depends_on, { s3: { condition: 'service_healthy' } })
    t.equal(postgres.healthcheck?.test[0], 'CMD')
    t.equal(s3.healthcheck?.test[0], 'CMD')
  })

  t.test('opens ports on this machine only', async t => {
    const ports = Object.values(compose.services).flatMap(service => service.ports ?? [])
    t.ok(ports.length > 0)
    for (const port of ports) t.match(port, /^127\.0\.0\.1:/)
    t.notOk(postgres.ports, 'the database has none')
  })

  t.test('gives no service more than it needs', async t => {
    for (const [name, service] of Object.entries(compose.services)) t.equal(service.read_only, true, name)
    for (const [name, service] of Object.entries({ presignd, postgres, s3 })) {
      t.equal(service.init, true, name)
      t.same(service.security_opt, ['no-new-privileges:true'], name)
    }
  })

  t.test('signs for a host that browser and network know by one name', async t => {
    const endpoint = new URL(presignd.environment?.['S3_ENDPOINT'] ?? '')
    t.match(endpoint.hostname, /\.localhost$/)
    t.match(text, `aliases: [${endpoint.hostname}]`)
    t.ok(s3.ports?.includes(`127.0.0.1:${endpoint.port}:${endpoint.port}`))
  })

  t.test('signs with a key that reaches the one bucket alone', async t => {
    const policy = JSON.parse(compose.configs[bucket.configs?.[0]?.source ?? '']?.content ?? '') as { Statement: Array<{ Action: string[], Resource: string[] }> }
    const name = presignd.environment?.['S3_BUCKET']
    for (const { Action, Resource } of policy.Statement) {
      for (const action of Action) t.notMatch(action, '*')
      for (const resource of Resource) t.match(resource, new RegExp(`^arn:aws:s3:::${name}(/\\*)?$`))
    }
    t.not(presignd.environment?.['AWS_ACCESS_KEY_ID'], s3.environment?.['MINIO_ROOT_USER'])
  })

  t.test('declares the volumes it uses', async t => {
    const used = Object.values(compose.services).flatMap(service => service.volumes ?? []).map(volume => volume.split(':')[0] ?? '')
    t.same(used.filter(name => /^\w/.test(name)).sort(), Object.keys(compose.volumes).sort())
  })
})

t.test('CHANGELOG.md has a section for the version of package.json', async t => {
  t.match(readText('CHANGELOG.md'), new RegExp(`^## \\[${packageJson.version.replaceAll('.', '\\.')}\\]`, 'm'))
})

for (const name of ['SECURITY.md', 'CONTRIBUTING.md', 'CHANGELOG.md']) {
  t.test(`${name} links to files that exist`, async t => {
    const targets = [...readText(name).matchAll(/\]\((?!https?:|#|mailto:)([^)#]+)/g)].map(match => match[1] ?? '')
    for (const target of targets) t.ok(existsSync(target), target)
    t.pass(`${targets.length} links`)
  })
}

function isKnown (name: string): boolean {
  const base = name.replace(/_FILE$/, '')
  return name in Environment.properties || base in Environment.properties || FOREIGN_VARIABLES.has(name)
}

/** Joins continued lines and leaves out comments: enough for one Dockerfile without heredocs. */
function parseDockerfile (text: string): Stage[] {
  const stages: Stage[] = []
  const lines = text.split('\n').filter(line => !line.trimStart().startsWith('#')).join('\n').replaceAll(/\\\n\s*/g, '').split('\n')
  for (const line of lines) {
    if (line.trim() === '') continue
    const [, name = '', value = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? []
    if (name === '') throw new Error(`Not an instruction: ${line}`)
    if (name === 'FROM') {
      const [, platform = null, base = '', stage = null] = /^(?:--platform=(\S+) )?(\S+)(?: AS (\S+))?$/.exec(value) ?? []
      stages.push({ base, platform, name: stage, instructions: [] })
    } else if (stages.length > 0 || name !== 'ARG') {
      stages.at(-1)?.instructions.push({ name, value })
    }
  }
  return stages
}

/** The rules of our .dockerignore: plain paths, `*` for everything, `!` for exceptions; the last one that fits counts. */
function ignoreRules (text: string): (path: string) => boolean {
  const rules = text.split('\n').filter(line => line !== '' && !line.startsWith('#'))
  return path => {
    let isIgnored = false
    for (const rule of rules) {
      const pattern = rule.replace(/^!/, '')
      if (pattern === '*' || path === pattern || path.startsWith(`${pattern}/`)) isIgnored = !rule.startsWith('!')
    }
    return isIgnored
  }
}
