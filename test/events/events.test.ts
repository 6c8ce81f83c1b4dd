import t, { type Test } from 'tap'
import { countRecords, readNotifications } from '../../src/events/read-notifications.js'
import { sendForm } from '../helpers/form.js'
import { HTML, png } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { ENGINES, startService, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { sha256Hex, signWithHeader } from '../helpers/sigv4.js'
import { until } from '../helpers/until.js'
import { hook, startWebhookService } from '../helpers/webhooks.js'

const s3 = await startTestS3(t)
const TOKEN = 'events-of-a-bucket-0123456789abcdef'
const picture = png()

const awsRecord = (bucket: string, key: string, eventName = 'ObjectCreated:Put') => ({ eventVersion: '2.1', eventSource: 'aws:s3', awsRegion: 'eu-central-1', eventName, s3: { s3SchemaVersion: '1.0', bucket: { name: bucket, arn: `arn:aws:s3:::${bucket}` }, object: { key, size: 1, eTag: 'x', sequencer: '0055AED6DCD90281E5' } } })
const cephRecord = (bucket: string, key: string, eventName = 'ObjectCreated:Put') => ({ ...awsRecord(bucket, key, eventName), eventVersion: '2.2', eventSource: 'ceph:s3' })

t.test('what is read from notifications', async t => {
  const one = [{ bucket: 'b', key: 'pictures/ada/x.png' }]
  const table: ReadonlyArray<[name: string, body: unknown, found: unknown[]]> = [
    ['one of S3', { Records: [awsRecord('b', 'pictures/ada/x.png')] }, one],
    ['one of S3 by another way', { Records: [awsRecord('b', 'pictures/ada/x.png', 'ObjectCreated:CompleteMultipartUpload')] }, one],
    ['one of Ceph', { Records: [cephRecord('b', 'pictures/ada/x.png')] }, one],
    ['one of MinIO, whose slashes are encoded', { EventName: 's3:ObjectCreated:Put', Key: 'b/pictures/ada/x.png', Records: [awsRecord('b', 'pictures%2Fada%2Fx.png', 's3:ObjectCreated:Put')] }, one],
    ['one of EventBridge', { version: '0', source: 'aws.s3', 'detail-type': 'Object Created', detail: { bucket: { name: 'b' }, object: { key: 'pictures/ada/x.png' } } }, one],
    ['a key with spaces, as S3 writes it', { Records: [awsRecord('b', 'a+b/%C3%A9%2B.txt')] }, [{ bucket: 'b', key: 'a b/é+.txt' }]],
    ['a key that cannot be decoded', { Records: [awsRecord('b', '%zz')] }, []],
    ['the same one three times', { Records: [awsRecord('b', 'pictures/ada/x.png'), awsRecord('b', 'pictures/ada/x.png'), cephRecord('b', 'pictures/ada/x.png')] }, one],
    ['what was removed', { Records: [awsRecord('b', 'x', 'ObjectRemoved:Delete'), awsRecord('b', 'x', 's3:ObjectRemoved:Delete')] }, []],
    ['another event of EventBridge', { source: 'aws.s3', 'detail-type': 'Object Deleted', detail: { bucket: { name: 'b' }, object: { key: 'x' } } }, []],
    ['another source', { source: 'aws.ec2', 'detail-type': 'Object Created', detail: { bucket: { name: 'b' }, object: { key: 'x' } } }, []],
    ['the test event of S3', { Service: 'Amazon S3', Event: 's3:TestEvent', Bucket: 'b' }, []],
    ['names with control characters', { Records: [awsRecord('b', 'pictures/%00'), awsRecord('b', 'staging/%0A'), awsRecord('b\0', 'x')] }, []],
    ['records that are none', { Records: [null, 7, 'x', {}, { eventName: 'ObjectCreated:Put' }, { eventName: 7, s3: {} }, { eventName: 'ObjectCreated:Put', s3: { bucket: { name: 7 }, object: { key: {} } } }] }, []],
    ['records that are no list', { Records: { length: 1 } }, []],
    ['nothing', null, []],
    ['a text', 'ObjectCreated', []],
    ['a list', [awsRecord('b', 'x')], []]
  ]
  for (const [name, body, found] of table) t.strictSame(readNotifications(body), found, name)
  t.equal(countRecords({ Records: [1, 2, 3] }), 3)
  t.equal(countRecords(null), 1)
})

for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  async function start (t: Test, { heads = () => {}, env = {} }: { heads?: () => void, env?: Record<string, string> } = {}) {
    const service = await startWebhookService(t, s3, {
      engine,
      webhooks: `app: ${hook('http://127.0.0.1:1/')}`,
      env: { EVENTS_TOKEN: TOKEN, ...env },
      adapt: services => ({
        ...services,
        objectStorage: {
          ...services.objectStorage,
          async headObject (location) {
            heads()
            return await services.objectStorage.headObject(location)
          }
        }
      })
    })
    const { call, services } = service
    return {
      ...service,
      tell: async (body: unknown, headers: Record<string, string> = { authorization: `Bearer ${TOKEN}` }) => await call('POST', '/events/s3', { body, headers }),
      status: async (id: string) => (await services.database.selectFrom('files').select('status').where('id', '=', id).executeTakeFirstOrThrow()).status,
      /** All hints are followed. */
      settled: async () => await until(() => services.background.size === 0)
    }
  }

  t.test('a client that vanishes after its PUT gets its file at once', async t => {
    const { create, tell, status, settled, bucket } = await start(t)
    const { file, upload } = await create()
    await send(upload, picture)
    const reply = await tell({ Records: [cephRecord(bucket, file.key)] })
    t.equal(reply.statusCode, 200)
    t.strictSame(reply.json(), { received: 1 })
    await settled()
    t.equal(await status(file.id), 'ready')
  })

  t.test('F44: copies in any number and order make one file, and one event', async t => {
    let heads = 0
    const { create, tell, status, settled, bucket, outbox } = await start(t, { heads: () => { heads++ } })
    const { file, upload } = await create()
    await send(upload, picture)
    const removed = { Records: [awsRecord(bucket, file.key, 'ObjectRemoved:Delete')] }
    const created = { Records: [awsRecord(bucket, file.key), awsRecord(bucket, file.key)] }
    await tell(removed)
    for (const reply of await Promise.all([created, removed, created, created].map(async body => await tell(body)))) t.equal(reply.statusCode, 200)
    await settled()
    await tell(created)
    await tell(removed)
    await settled()
    t.equal(await status(file.id), 'ready')
    t.strictSame((await outbox()).map(({ type }) => type), ['file.ready'])
    t.equal(heads, 1, 'one look')
  })

  t.test('T39: an event is no proof', async t => {
    const { create, tell, status, settled, bucket, call, ada, complete } = await start(t)
    const missing = await create()
    const other = await create()
    const harmful = await create()
    await send(harmful.upload, Buffer.concat([HTML, Buffer.alloc(picture.length)]).subarray(0, picture.length))
    await tell({ Records: [awsRecord(bucket, missing.file.key), awsRecord('another-bucket', other.file.key), awsRecord(bucket, 'pictures/nobody.png'), awsRecord(bucket, harmful.file.key), awsRecord(bucket, 'staging/none'), awsRecord(bucket, `staging/${missing.file.id}`)] })
    await settled()
    t.strictSame([await status(missing.file.id), await status(other.file.id), await status(harmful.file.id)], ['pending', 'pending', 'rejected'])
    await send(missing.upload, picture)
    t.match((await complete(missing.file.id)).json(), { file: { status: 'ready' } }, 'and what was told too early can still come')
    await call('DELETE', `/files/${missing.file.id}`, { token: ada })
    await tell({ Records: [awsRecord(bucket, missing.file.key)] })
    await settled()
    t.equal(await status(missing.file.id), 'deleted')
  })

  t.test('T39: only who has the secret is heard, and only where it is configured', async t => {
    const { tell, bucket, ada, token } = await start(t)
    const body = { Records: [awsRecord(bucket, 'x')] }
    const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` })
    const table: ReadonlyArray<[name: string, headers: Record<string, string>, status: number]> = [
      ['nothing', {}, 401],
      ['the token of a user', { authorization: `Bearer ${ada}` }, 401],
      ['the token of an administrator', { authorization: `Bearer ${await token('root', { scope: 'files:admin' })}` }, 401],
      ['another secret', { authorization: `Bearer ${TOKEN}x` }, 401],
      ['a part of it', { authorization: `Bearer ${TOKEN.slice(0, -1)}` }, 401],
      ['an empty one', { authorization: 'Bearer ' }, 401],
      ['the secret without a word before', { authorization: TOKEN }, 401],
      ['the secret as a name', basic(`${TOKEN}:`), 401],
      ['the secret without a name', basic(TOKEN), 401],
      ['a message that says that it is of SNS', { 'x-amz-sns-message-type': 'Notification' }, 401],
      ['the secret', { authorization: `Bearer ${TOKEN}` }, 200],
      ['the secret in other letters before', { authorization: `bearer ${TOKEN}` }, 200],
      ['the secret as a password', basic(`presignd:${TOKEN}`), 200]
    ]
    for (const [name, headers, status] of table) {
      const reply = await tell(body, headers)
      t.equal(reply.statusCode, status, `${name}: ${reply.body}`)
      if (status === 401) t.equal(reply.json().code, 'UNAUTHENTICATED')
    }
    const closed = await startService(t, s3, { engine })
    const reply = await closed.call('POST', '/events/s3', { body, headers: { authorization: `Bearer ${TOKEN}` } })
    t.equal(reply.statusCode, 404)
    t.equal(reply.json().code, 'NOT_FOUND')
  })

  t.test('T35: a body is JSON of a bounded size, whatever it is called', async t => {
    const { app, bucket } = await start(t)
    const post = async (payload: string, type?: string) => await app.inject({ method: 'POST', url: '/events/s3', payload, headers: { authorization: `Bearer ${TOKEN}`, ...(type !== undefined && { 'content-type': type }) } })
    const good = JSON.stringify({ Records: Array.from({ length: 1000 }, (_, index) => awsRecord(bucket, `none/${index}`)) })
    for (const type of [undefined, 'application/json', 'text/plain; charset=UTF-8', 'application/octet-stream', 'application/cloudevents+json']) {
      const reply = await post(good, type)
      t.match({ status: reply.statusCode, body: reply.json() }, { status: 200, body: { received: 1000 } }, String(type))
    }
    t.equal((await post(JSON.stringify({ Records: Array.from({ length: 1001 }, () => awsRecord(bucket, 'none')) }))).json().code, 'BODY_TOO_LARGE')
    t.equal((await post(`{"x":"${'x'.repeat(2 * 1024 * 1024)}"}`)).json().code, 'BODY_TOO_LARGE')
    for (const bad of ['', 'Records', '{', '{"__proto__":{"x":1}}', '{"constructor":{"prototype":{}}}']) t.equal((await post(bad, 'text/plain')).statusCode, 400, bad)
    t.strictSame((await post('null')).json(), { received: 0 })
    t.equal((await app.inject({ method: 'POST', url: '/uploads', payload: '{}', headers: { 'content-type': 'text/plain' } })).statusCode, 401, 'other addresses take what they took')
  })

  t.test('a form is known by its place in staging', async t => {
    const { create, tell, status, settled, bucket } = await start(t)
    const { file, upload } = await create({ policy: 'forms' })
    await sendForm(upload, picture)
    await tell({ Records: [awsRecord(bucket, `staging%2F${file.id}`)] })
    await settled()
    t.equal(await status(file.id), 'ready')
  })

  t.test('many objects are looked at five at a time', async t => {
    let looking = 0
    let most = 0
    const service = await startService(t, s3, {
      engine,
      env: { EVENTS_TOKEN: TOKEN },
      adapt: services => ({
        ...services,
        objectStorage: {
          ...services.objectStorage,
          async headObject (location) {
            most = Math.max(most, ++looking)
            await until(() => most >= 5)
            looking--
            return await services.objectStorage.headObject(location)
          }
        }
      })
    })
    const ada = await service.token('ada')
    const { data } = (await service.call('POST', '/uploads/batch', { token: ada, body: { uploads: Array.from({ length: 40 }, () => ({ policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length })) } })).json() as { data: Array<{ file: { id: string, key: string }, upload: { method: string, url: string, headers: Record<string, string> } }> }
    for (const { upload } of data) await send(upload, picture)
    const reply = await service.call('POST', '/events/s3', { headers: { authorization: `Bearer ${TOKEN}` }, body: { Records: data.map(({ file }) => awsRecord(service.bucket, file.key)) } })
    t.strictSame(reply.json(), { received: 40 })
    await until(() => service.services.background.size === 0)
    t.equal((await service.call('GET', '/files?limit=100', { token: ada })).json().data.length, 40)
    t.equal(most, 5)
  })

  t.test('a store that fails leaves the file to the sweeper', async t => {
    let isFaulty = true
    const { create, tell, status, settled, bucket, after, sweep } = await start(t, { heads: () => { if (isFaulty) throw new Error('down') } })
    const { file, upload } = await create()
    await send(upload, picture)
    t.equal((await tell({ Records: [awsRecord(bucket, file.key)] })).statusCode, 200)
    await settled()
    t.equal(await status(file.id), 'pending')
    isFaulty = false
    after(2 * 60_000)
    t.match(await sweep(), { ready: 1 })
  })

  t.test('F9: a client that completes while an event is followed gets its file in the same call', async t => {
    const { create, tell, bucket, complete, services } = await start(t)
    for (let round = 0; round < 10; round++) {
      const { file, upload } = await create()
      await send(upload, picture)
      const [told, reply] = await Promise.all([tell({ Records: [awsRecord(bucket, file.key)] }), complete(file.id)])
      t.equal(told.statusCode, 200)
      t.equal(reply.statusCode, 200, reply.body)
      t.equal(reply.json().file.status, 'ready')
    }
    await until(() => services.background.size === 0)
  })

  t.test('the notifications of the store itself make a file ready', async t => {
    const { create, status, bucket, app, tell } = await start(t)
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    const isCeph = await isCephGateway()
    // The embedded store sends none: there the test sends what Ceph would.
    if (isCeph) await notify(bucket, url.replace('http://', `http://presignd:${TOKEN}@`) + '/events/s3')
    for (const policy of ['pictures', 'forms']) {
      const { file, upload } = await create({ policy })
      const sent = policy === 'forms' ? await sendForm(upload, picture) : await send(upload, picture)
      t.ok(sent.status < 300)
      if (!isCeph) await tell({ Records: [cephRecord(bucket, policy === 'forms' ? `staging/${file.id}` : file.key)] })
      await until(async () => await status(file.id) === 'ready')
      t.pass(`${policy} by ${isCeph ? 'Ceph' : 'the test'}`)
    }
  })
}

/** Whether the store under test is Ceph's, which tells by the form of its request ids. */
async function isCephGateway (): Promise<boolean> {
  if (s3.kind === 'embedded') return false
  return /^tx[0-9a-f]{21}-/.test((await fetch(s3.endpoint)).headers.get('x-amz-request-id') ?? '')
}

/** Makes a topic and tells a bucket to use it. */
async function notify (bucket: string, pushEndpoint: string): Promise<void> {
  const name = `presignd-${bucket}`
  const topic = await request('POST', '/', 'application/x-www-form-urlencoded', new URLSearchParams({ Action: 'CreateTopic', Name: name, 'Attributes.entry.1.key': 'push-endpoint', 'Attributes.entry.1.value': pushEndpoint }).toString())
  const [, arn = ''] = /<TopicArn>([^<]+)</.exec(topic) ?? []
  await request('PUT', `/${bucket}?notification`, 'application/xml', `<NotificationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TopicConfiguration><Id>presignd</Id><Topic>${arn}</Topic><Event>s3:ObjectCreated:*</Event></TopicConfiguration></NotificationConfiguration>`)
}

async function request (method: string, target: string, contentType: string, body: string): Promise<string> {
  const { headers } = signWithHeader({ method, target, headers: { host: new URL(s3.endpoint).host, 'content-type': contentType }, body }, s3.credentials, { at: new Date(), payloadHash: sha256Hex(body) })
  // Ceph takes a password in the URL of a topic over TLS alone; .ci/rgw.sh makes it believe this header.
  const reply = await fetch(s3.endpoint + target, { method, headers: { ...headers, 'x-forwarded-proto': 'https' }, body })
  const text = await reply.text()
  if (!reply.ok) throw new Error(`${method} ${target} answers ${reply.status}: ${text}`)
  return text
}
