import { PassThrough } from 'node:stream'
import t from 'tap'
import { startCollector, type CollectedSpan } from '../helpers/collector.js'
import { startReceiver } from '../helpers/receiver.js'
import { png } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { ENGINES, startService } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { until } from '../helpers/until.js'

const s3 = await startTestS3(t)
const picture = png()
const SERVER = 2
const CLIENT = 3
const FAILED = 2

/** The SDK reads its variables from the process. */
function setVariables (variables: Readonly<Record<string, string>>): void {
  for (const name of Object.keys(process.env).filter(name => name.startsWith('OTEL_'))) delete process.env[name]
  Object.assign(process.env, variables)
}

function readLines (): { readonly stream: PassThrough, lines (): Array<Record<string, unknown>> } {
  const stream = new PassThrough()
  let text = ''
  stream.setEncoding('utf8').on('data', chunk => { text += chunk })
  return { stream, lines: () => text.split('\n').filter(line => line !== '').map(line => JSON.parse(line)) }
}

for (const engine of ENGINES) {
  t.test(`${engine}: a request is a span with its queries and its calls of the store below, in the trace of its caller`, async t => {
    const collector = await startCollector(t)
    setVariables({ ...collector.env, OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test' })
    const log = readLines()
    const { app, call, token } = await startService(t, s3, { engine, env: collector.env, logTo: log.stream })
    // Over a connection, with a body that comes later than its headers: its bytes then arrive in a turn of their own.
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    const ada = await token('ada')
    const { file, upload } = (await call('POST', '/uploads', { token: ada, body: { policy: 'pictures', filename: 'secret-name.png', contentType: 'image/png', sizeBytes: picture.length } })).json()
    await send(upload, picture)
    const traceId = '0af7651916cd43dd8448eb211c80319c'
    const headers = { authorization: `Bearer ${ada}`, 'content-type': 'application/json', traceparent: `00-${traceId}-b7ad6b7169203331-01` }
    t.equal((await send({ method: 'POST', url: `${url}/uploads/${file.id}/complete?x=secret-query`, headers }, Buffer.from('{}'), { expect: '100-continue' })).status, 200)

    const span = await collector.span(({ name }) => name === 'POST /uploads/:id/complete')
    t.match(span, { traceId, parentSpanId: 'b7ad6b7169203331', kind: SERVER, attributes: { 'http.request.method': 'POST', 'http.route': '/uploads/:id/complete', 'http.response.status_code': 200 } })
    t.match(span.resource, { 'service.name': 'presignd', 'service.version': /^\d/, 'deployment.environment.name': 'test' })
    const below = (condition: (span: CollectedSpan) => boolean) => collector.spans().filter(({ parentSpanId }) => parentSpanId === span.spanId).find(condition)
    t.match(below(({ name }) => name === 'S3.HeadObject'), { traceId, kind: CLIENT, attributes: { 'rpc.system': 'aws-api', 'rpc.service': 'S3', 'rpc.method': 'HeadObject' } })
    t.match(below(({ name }) => name === 'update files'), { traceId, kind: CLIENT, attributes: { 'db.system.name': engine === 'sqlite' ? 'sqlite' : 'postgresql', 'db.operation.name': 'update', 'db.collection.name': 'files' } })
    for (const name of ['begin', 'commit']) t.ok(below(span => span.name === name), `transactions show: ${name}`)
    t.equal(log.lines().find(({ route }) => route === '/uploads/:id/complete')?.['trace_id'], traceId, 'and the line of the log names the trace')

    const created = await collector.span(({ name }) => name === 'POST /uploads')
    t.not(created.traceId, traceId, 'a caller without a trace begins one')
    t.equal(created.parentSpanId || undefined, undefined)
    t.ok(collector.spans().some(({ name, parentSpanId }) => name === 'insert files' && parentSpanId === created.spanId))
    for (const secret of ['secret-name', 'secret-query', file.id, file.key, 'X-Amz']) t.notOk(JSON.stringify(collector.received).includes(secret), secret)
  })
}

for (const engine of ENGINES) {
  t.test(`${engine}: of requests that come together, each has its own queries`, async t => {
    const collector = await startCollector(t)
    setVariables(collector.env)
    const { call, app, token } = await startService(t, s3, { engine, env: collector.env })
    const ada = await token('ada')
    const { file } = (await call('POST', '/uploads', { token: ada, body: { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length } })).json()
    const traces = [1, 2, 3, 4, 5].map(number => String(number).repeat(32))
    const replies = await Promise.all(traces.map(async traceId => await app.inject({ url: `/files/${file.id}`, headers: { authorization: `Bearer ${ada}`, traceparent: `00-${traceId}-b7ad6b7169203331-01` } })))
    t.strictSame(replies.map(({ statusCode }) => statusCode), [200, 200, 200, 200, 200])
    for (const traceId of traces) {
      const { spanId } = await collector.span(span => span.name === 'GET /files/:id' && span.traceId === traceId)
      t.strictSame(collector.spans().filter(span => span.traceId === traceId && span.spanId !== spanId).map(({ name, parentSpanId }) => [name, parentSpanId]), [['select files', spanId]])
    }
  })
}

t.test('a call that fails says so by the name of its error, and a server that fails is an error', async t => {
  const collector = await startCollector(t)
  setVariables(collector.env)
  const { call, token } = await startService(t, s3, { env: { ...collector.env, S3_BUCKET: 'no-such-bucket' } })
  const { file } = (await call('POST', '/uploads', { token: await token('ada'), body: { policy: 'parts', filename: 'a', contentType: 'image/png', sizeBytes: 1 } })).json()
  t.equal((await call('POST', `/uploads/${file.id}/complete`, { token: await token('ada') })).statusCode, 409)
  t.match(await collector.span(({ name }) => name === 'S3.HeadObject'), { status: { code: FAILED }, attributes: { 'error.type': /^(NotFound|NoSuchBucket)$/ } })
  t.match(await collector.span(({ name }) => name === 'POST /uploads/:id/complete'), { attributes: { 'error.type': 'OBJECT_MISSING' } })
  t.equal((await call('POST', '/uploads', { token: await token('ada'), body: { policy: 'parts', filename: 'a', contentType: 'image/png', sizeBytes: 6_000_000, method: 'multipart' } })).statusCode, 502)
  t.match(await collector.span(({ name, attributes }) => name === 'POST /uploads' && attributes['http.response.status_code'] === 502), { status: { code: FAILED }, attributes: { 'error.type': 'OBJECT_STORAGE_ERROR' } })
})

t.test('probes are not traced, and what is left is sent at the end, in the form that is the standard', async t => {
  const receiver = await startReceiver(t)
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_BSP_SCHEDULE_DELAY: '600000' }
  setVariables(env)
  const { call, services } = await startService(t, s3, { env })
  for (const path of ['/livez', '/readyz', '/nowhere']) await call('GET', path)
  t.equal(receiver.received.length, 0)
  await services.tracing?.close()
  t.equal(receiver.received.length, 1)
  const [{ headers, body } = { headers: {}, body: '' }] = receiver.received
  t.equal(headers['content-type'], 'application/x-protobuf')
  t.match(body, 'GET none')
  t.notMatch(body, /livez|readyz|nowhere/)
})

t.test('a collector that is out fails no request, and is told once', async t => {
  const collector = await startCollector(t)
  collector.answer(response => response.writeHead(400).end())
  setVariables(collector.env)
  const log = readLines()
  const { call } = await startService(t, s3, { env: collector.env, logTo: log.stream })
  const told = () => log.lines().filter(({ msg }) => /collector/.test(String(msg)))
  for (let requests = 1; requests <= 3; requests++) {
    t.equal((await call('GET', '/openapi.json')).statusCode, 200)
    await until(() => collector.received.length >= requests)
  }
  await until(() => told().length > 0)
  t.match(told(), [{ level: 40, msg: /takes no spans/ }])
  t.equal(told().length, 1)
  collector.answer(response => response.writeHead(200).end())
  await call('GET', '/openapi.json')
  await until(() => told().length > 1)
  t.match(told()[1], { level: 30, msg: /takes spans again/ })
})
