import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { buildAhead } from '../../src/launch/build-ahead.js'
import { schemaKey } from '../../src/schema-compilers.js'
import { loadConfig } from '../../src/config.js'
import { loadPolicies } from '../../src/policies/load-policies.js'
import { builtCli, run, runCli } from '../helpers/process.js'
import { startTestS3 } from '../helpers/s3.js'
import { createTestToken, startService, testEnvironment } from '../helpers/service.js'

const bundle = readFileSync(join(dirname(builtCli()), 'service.cjs'), 'utf8')

t.test('all that routes check and write by is compiled when the service is built, however it is configured', async t => {
  const s3 = await startTestS3(t)
  const { programs } = await buildAhead()
  for (const env of [{}, { DOCS_UI: 'true' }, { UPPY_COOKIE: 'session', CORS_ORIGINS: 'https://app.example.com' }]) {
    const { app } = await startService(t, s3, { env })
    await app.ready()
    // The page of DOCS_UI has routes of its own.
    const schemas = app.routeSchemas.filter(route => !JSON.stringify(route).includes('swagger'))
    t.ok(schemas.length > 100, `${schemas.length} schemas`)
    t.same(schemas.filter(route => !programs.has(schemaKey(route))), [])
  }
  for (const key of programs.keys()) if (!bundle.includes(key)) t.fail(`${key} is not in the bundle`)
  t.ok(bundle.includes('operationId: createUploads'), 'so is openapi.yaml')
})

/** Tells each function that is made of a text, as compilers of schemas do; at SIGUSR2, that this was all so far. */
const TELL_COMPILING = `data:text/javascript,${encodeURIComponent(`
  process.on('SIGUSR2', () => process.stderr.write('so far\\n'))
  globalThis.Function = new Proxy(Function, { construct (target, args, newTarget) {
    process.stderr.write('compiled ' + args.at(-1).length + '\\n')
    return Reflect.construct(target, args, newTarget)
  } })`)}`

t.test('the service that was built compiles no schema, neither when it starts nor later, and says the same', async t => {
  const s3 = await startTestS3(t)
  const bucket = await s3.createBucket()
  const env = { ...await testEnvironment(t), S3_BUCKET: bucket, S3_ENDPOINT: s3.endpoint, S3_REGION: s3.region, AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey, PORT: '0', LOG_LEVEL: 'info', SHUTDOWN_DRAIN_SECONDS: '0' }
  const built = run(t, process.execPath, ['--disable-warning=ExperimentalWarning', '--import', TELL_COMPILING, builtCli(), 'serve'], env)
  const [, url] = await built.output(/"listening":"([^"]+)"/)
  built.child.kill('SIGUSR2')
  await built.output(/so far/)

  const { call } = await startService(t, s3)
  const token = await createTestToken('ada')
  const upload = { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: 100 }
  const requests: ReadonlyArray<readonly [method: 'GET' | 'POST', path: string, body?: unknown]> = [
    ['POST', '/uploads', upload],
    ['POST', '/uploads', { ...upload, sizeBytes: 'many', more: true }],
    ['POST', '/uploads/batch', { uploads: [upload, { ...upload, policy: 'none' }] }],
    ['POST', '/uploads/batch', { uploads: Array.from({ length: 101 }, () => upload) }],
    ['GET', '/files?status=pending&limit=2'],
    ['GET', '/files?limit=many&more=true'],
    ['GET', '/policies'],
    ['GET', '/usage'],
    ['POST', '/downloads', { fileId: 'none' }],
    ['GET', '/openapi.json'],
    ['GET', '/openapi.yaml']
  ]
  for (const [method, path, body] of requests) {
    const reply = await fetch(url + path, { method, headers: { authorization: `Bearer ${token}`, ...(body !== undefined && { 'content-type': 'application/json' }) }, ...(body !== undefined && { body: JSON.stringify(body) }) })
    const expected = await call(method, path, { token, body })
    const text = await reply.text()
    t.equal(reply.status, expected.statusCode, `${method} ${path}: ${text.slice(0, 200)}`)
    t.equal(reply.headers.get('content-type'), expected.headers['content-type'])
    t.equal(withoutChance(text), withoutChance(expected.body), `${method} ${path}`)
  }
  built.child.kill('SIGUSR2')
  const [told] = await built.output(/^[^]*so far[^]*so far/)
  const [before, after] = told.split('so far')
  const lengths = [...(before ?? '').matchAll(/compiled (\d+)/g)].map(([, length]) => Number(length))
  t.ok(lengths.length > 10 && lengths.every(length => length < 1000), `the router makes a few lines for each route, and nobody makes more: ${Math.max(...lengths)}`)
  t.equal(after, '\n')
})

t.test('what is wrong with a configuration or with policies is told in the same words', async t => {
  const good = await testEnvironment(t)
  const withPolicies = async (policies: string) => (await testEnvironment(t, { policies }))['POLICIES_FILE']
  const wrong: ReadonlyArray<Record<string, string | undefined>> = [
    { PORT: 'many', LOG_LEVEL: 'loud', S3_BUCKET: undefined, SWEEP_INTERVAL_SECONDS: '-1' },
    { POLICIES_FILE: await withPolicies('policies:\n  a: { contentTypes: [image/png], maxSize: 1, maxSizee: 1 }\nbuckets:\n  b: { name: 5 }\n') },
    { POLICIES_FILE: await withPolicies('policies: {}\nmore: 1\n') },
    { POLICIES_FILE: await withPolicies('[]') }
  ]
  for (const change of wrong) {
    const env = { ...good, S3_BUCKET: 'bucket', ...change }
    const problems = problemsOf(env)
    t.ok(problems.length > 0)
    const built = runCli(t, ['config', 'check'], env)
    t.not(await built.ended, 0)
    for (const problem of problems) t.ok(built.stderr().includes(problem), `${problem}\n${built.stderr()}`)
    t.equal(built.stderr().trim().split('\n').length, problems.length, built.stderr())
  }
})

/** As said by the rules that are compiled here, from source. */
function problemsOf (env: Readonly<Record<string, string | undefined>>): readonly string[] {
  try {
    const config = loadConfig(env)
    loadPolicies(config.policiesFile, config)
    return []
  } catch (error) {
    return (error as { readonly problems: readonly string[] }).problems
  }
}

/** Ids, times and signatures differ from request to request. */
function withoutChance (text: string): string {
  return text.replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'ID').replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME')
    .replace(/"url":"[^"]*"/g, '"url":"URL"').replace(/"(nextCursor)":"[^"]*"/g, '"$1":"CURSOR"')
}
