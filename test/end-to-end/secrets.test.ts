import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { startS3Proxy } from '../faults/fixtures/s3-proxy.js'
import { startDistribution } from '../helpers/cloudfront.js'
import { startCollector } from '../helpers/collector.js'
import { sendForm } from '../helpers/form.js'
import { runNode } from '../helpers/process.js'
import { startReceiver } from '../helpers/receiver.js'
import { png } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { createTestToken, SECRET, testEnvironment } from '../helpers/service.js'
import { makeTemporaryFolder, startEmbeddedTestS3 } from '../helpers/s3.js'
import { until } from '../helpers/until.js'
import { hook, HOOK_SECRET, withWebhooks } from '../helpers/webhooks.js'

const SESSION_TOKEN = 'IQoJb3JpZ2luX2VjEXAMPLEtoken/of+a+session=='
const EVENTS_TOKEN = 'a secret of events that is longer than thirty-two bytes'
const PART_BYTES = 5 * 1024 ** 2
const POLICIES = `
policies:
  pictures: { contentTypes: [image/png], maxSize: 10MiB, key: "pictures/{owner}/{fileId}{ext}", methods: [PUT, POST, multipart], multipart: { threshold: 6MiB, partSize: 5MiB }, verify: { contentType: false }, presignedDelete: true }
`
const picture = png()
const large = Buffer.alloc(PART_BYTES + 1000, picture)

/** All that a service writes and sends while it does everything once, well and badly. */
t.test('T28: no token, secret or signed URL is in logs, spans, metrics, the audit log, webhooks or errors', async t => {
  const s3 = await startEmbeddedTestS3(t, { sessionToken: SESSION_TOKEN })
  const bucket = await s3.createBucket()
  const proxy = await startS3Proxy(t, s3.endpoint)
  const distribution = await startDistribution(t, s3, () => bucket)
  const collector = await startCollector(t)
  const receiver = await startReceiver(t)
  const auditLog = join(await makeTemporaryFolder(t), 'audit.log')
  const running = runNode(t, ['src/cli.ts', 'serve'], {
    ...await testEnvironment(t, { policies: withWebhooks(`app: ${hook(receiver.url)}`, POLICIES) }),
    ...distribution.env,
    ...collector.env,
    PORT: '0',
    LOG_LEVEL: 'trace',
    METRICS_PORT: '0',
    AUDIT_LOG: auditLog,
    EVENTS_TOKEN,
    HOOK_SECRET,
    S3_BUCKET: bucket,
    S3_ENDPOINT: proxy.endpoint,
    S3_REGION: s3.region,
    AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey,
    AWS_SESSION_TOKEN: SESSION_TOKEN
  })
  const [, url = ''] = await running.output(/"listening":"([^"]+)"/)
  const [, metricsPort = ''] = await running.output(/"port":(\d+),"msg":"metrics"/)

  /** What clients were given on purpose, and what they were refused with. */
  const handedOut: string[] = []
  const problems: string[] = []
  async function call (method: string, path: string, { token, body, headers = {} }: { token?: string, body?: unknown, headers?: Record<string, string> } = {}) {
    const reply = await fetch(new URL(path, url), { method, redirect: 'manual', headers: { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...(body !== undefined && { 'content-type': 'application/json' }), ...headers }, ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }) })
    const text = await reply.text()
    if (reply.status >= 400) problems.push(text)
    else handedOut.push(text, reply.headers.get('location') ?? '')
    return { status: reply.status, json: () => JSON.parse(text) }
  }
  const ada = await createTestToken('ada')
  const create = async (body: object = {}) => (await call('POST', '/uploads', { token: ada, body: { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length, ...body } })).json()
  const complete = async (id: string) => (await call('POST', `/uploads/${id}/complete`, { token: ada })).status

  const put = await create()
  await send(put.upload, picture)
  t.equal(await complete(put.file.id), 200)
  const form = await create({ method: 'POST' })
  await sendForm(form.upload, picture)
  t.equal(await complete(form.file.id), 200)
  const parts = await create({ method: 'multipart', sizeBytes: large.length })
  for (const { partNumber, url, headers } of parts.upload.parts) await send({ method: 'PUT', url, headers }, large.subarray((partNumber - 1) * PART_BYTES, partNumber * PART_BYTES))
  t.equal(await complete(parts.file.id), 200)
  const { ticket } = (await call('POST', '/uploads/tickets', { token: ada, body: { policy: 'pictures' } })).json()
  const query = new URLSearchParams({ filename: 'b.png', type: 'image/png', 'metadata[size]': String(picture.length) })
  t.equal((await sendForm((await call('GET', `${ticket.endpoint}/s3/params?${query}`)).json(), picture)).status, 201)
  const begun = (await call('POST', `${ticket.endpoint}/s3/multipart`, { body: { filename: 'c.png', type: 'image/png', metadata: {} } })).json()
  const address = `${ticket.endpoint}/s3/multipart/${encodeURIComponent(begun.uploadId)}`
  const key = new URLSearchParams({ key: begun.key })
  const sent = await send({ method: 'PUT', url: (await call('GET', `${address}/1?${key}`)).json().url, headers: {} }, picture)
  t.equal((await call('POST', `${address}/complete?${key}`, { body: { parts: [{ PartNumber: 1, ETag: String(sent.headers['etag']) }] } })).status, 200)
  for (const method of ['GET', 'HEAD']) t.equal((await send((await call('POST', '/downloads', { token: ada, body: { fileId: put.file.id, method } })).json().download)).status, 200, method)
  t.equal((await call('GET', `/downloads/${put.file.id}`, { token: ada })).status, 307)
  t.equal((await call('POST', '/deletions', { token: ada, body: { fileId: form.file.id } })).status, 201)
  t.equal((await call('DELETE', `/files/${parts.file.id}`, { token: ada })).status, 204)
  t.equal((await call('POST', '/events/s3', { token: EVENTS_TOKEN, body: { Records: [] } })).status, 200)

  // What goes wrong, as it does: tokens in the wrong places, and a store that quotes what it was sent.
  const broken = `${ada}x`
  const quoted = (method: string, url: string): string => `<Error><Code>SignatureDoesNotMatch</Code><Message>X-Amz-Security-Token ${SESSION_TOKEN}</Message><StringToSign>${method} ${url.replaceAll('&', '&amp;')} x-amz-security-token:${SESSION_TOKEN}</StringToSign><CanonicalRequest>authorization: X-Amz-Signature=0 ${s3.credentials.secretAccessKey}</CanonicalRequest></Error>`
  const mistakes: ReadonlyArray<Parameters<typeof call>> = [
    ['GET', '/files', { token: broken }],
    ['GET', '/files', { token: await createTestToken('ada', { exp: 1 }) }],
    ['GET', `/files?token=${ada}`, {}],
    ['GET', `/${ada}?X-Amz-Signature=${SESSION_TOKEN}`, {}],
    ['GET', `/files/${ada}`, { token: ada }],
    ['GET', '/files', { token: ada, headers: { traceparent: ada, 'x-request-id': ada } }],
    ['GET', `/uppy/tickets/${ada}/s3/params?${query}`, {}],
    ['GET', `/uppy/${ada}/s3/params?${query}`, { token: ada }],
    ['GET', `/uppy/${ticket.endpoint.split('/').at(-1)}/s3/params?${query}`, {}],
    ['POST', '/events/s3', { token: `${EVENTS_TOKEN}x`, body: {} }],
    ['POST', '/uploads', { token: ada, body: `{"policy":"${ada}` }],
    ['POST', '/uploads', { token: ada, body: { policy: ada, filename: ada, contentType: ada, sizeBytes: 1 } }],
    ['POST', '/downloads', { token: ada, body: { fileId: put.upload.url } }]
  ]
  for (const mistake of mistakes) await call(...mistake)
  // Whoever takes a ticket for the name of a policy reads it again in the reply, which is nobody else's.
  t.equal((await fetch(`${url}/uppy/${ticket.endpoint.split('/').at(-1)}/s3/params?${query}`, { headers: { authorization: `Bearer ${ada}` } })).status, 404)
  const lost = [await create({ method: 'POST' }), await create(), await create({ method: 'POST' })]
  for (const { upload } of lost) await (upload.method === 'POST' ? sendForm(upload, picture) : send(upload, picture))
  proxy.rule = ({ operation, method, url }) => operation === 'CopyObject' ? { kind: 'answer', status: 403, body: quoted(method, url) } : undefined
  t.equal(await complete(lost[0].file.id), 502)
  proxy.rule = ({ operation }) => operation === 'HeadObject' ? { kind: 'refuse' } : undefined
  t.equal(await complete(lost[1].file.id), 502)
  proxy.rule = ({ operation, method, url }) => operation === 'CopyObject' ? { kind: 'answer', status: 200, body: quoted(method, url) } : undefined
  t.equal(await complete(lost[2].file.id), 502)
  proxy.rule = ({ operation, method, url }) => operation === 'CreateMultipartUpload' ? { kind: 'answer', status: 400, body: quoted(method, url) } : undefined
  t.equal((await call('POST', '/uploads', { token: ada, body: { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: large.length, method: 'multipart' } })).status, 502)
  proxy.rule = () => undefined

  await until(() => receiver.received.some(({ body }) => body.includes('file.deleted')))
  const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text()
  running.child.kill('SIGTERM')
  t.equal(await running.ended, 0)

  const streams: ReadonlyArray<[name: string, text: string, content: readonly RegExp[]]> = [
    ['the log', running.stdout(), [/"route":"\/uploads\/:id\/complete"/, /SignatureDoesNotMatch/, /"level":50/, /trace_id/]],
    ['what is printed beside', running.stderr(), []],
    ['the audit log', await readFile(auditLog, 'utf8'), [/"what":"createUpload"/, /"what":"file.ready"/, /UNAUTHENTICATED/]],
    ['metrics', metrics, [/uploads_total\{policy="pictures",outcome="ready"\} [3-9]/, /s3_requests_total\{op="CopyObject",status="403"\}/]],
    ['spans', collector.received.map(({ headers, body }) => JSON.stringify(headers) + body).join('\n'), [/"POST \/uploads\/:id\/complete"/, /S3\.CopyObject/, /insert files/, /"webhook"/]],
    ['webhooks', receiver.received.map(({ headers: { 'webhook-signature': _, ...headers }, body }) => JSON.stringify(headers) + body).join('\n'), [/file\.ready/, /file\.deleted/, /"traceparent":"00-/]],
    ['errors', problems.join('\n'), [/UNAUTHENTICATED/, /OBJECT_STORAGE_ERROR/, /INVALID_REQUEST/, /NOT_FOUND/]]
  ]
  const given = handedOut.join('\n')
  const values = (pattern: RegExp): string[] => [...new Set([...given.matchAll(pattern)].map(([, value = '']) => value))]
  const secrets: ReadonlyArray<[name: string, values: readonly string[]]> = [
    ['parameters of signatures', ['X-Amz-Signature', 'X-Amz-Security-Token', 'X-Amz-Credential', 'Key-Pair-Id']],
    ['signatures of S3', values(/X-Amz-Signature(?:=|":")([0-9a-f]{64})/g)],
    ['signatures of CloudFront', values(/[?&]Signature=([^&"]{64,})/g)],
    ['policies of forms', values(/"Policy":"([^"]{100,})"/g)],
    ['tickets', values(/"endpoint":"\/uppy\/tickets\/([^"]+)"/g)],
    ['ids of multipart uploads', values(/uploadId=([^&"]{10,})/g)]
  ]
  const own = ['eyJ', ada.split('.')[2] ?? '', 'whsec_', HOOK_SECRET.slice(6), SECRET, EVENTS_TOKEN, SESSION_TOKEN, encodeURIComponent(SESSION_TOKEN), s3.credentials.secretAccessKey, 'PRIVATE KEY', distribution.env['CLOUDFRONT_PRIVATE_KEY']?.split('\n')[1] ?? '']
  for (const [name, values] of secrets) t.ok(values.length > 0 && values.every(value => given.includes(value)), `${name} were handed out, so that they could be found`)
  for (const [name, text, content] of streams) {
    for (const pattern of content) t.match(text, pattern, `${name}: there is something in it`)
    for (const [what, values] of secrets) t.strictSame(values.filter(value => text.toLowerCase().includes(value.toLowerCase())), [], `${name}: no ${what}`)
    t.strictSame(own.filter(value => text.includes(value)), [], `${name}: no token, key or secret`)
  }
})
