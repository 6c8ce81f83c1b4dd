import { createSign } from 'node:crypto'
import t, { type Test } from 'tap'
import type { SnsMessage } from '../../src/events/sns-message.js'
import { makeCertificate, type TestCertificate } from '../helpers/certificate.js'
import { png } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { startService } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { until } from '../helpers/until.js'

const s3 = await startTestS3(t)
const TOPIC = 'arn:aws:sns:eu-central-1:123456789012:uploads'
const CERTIFICATE_URL = 'https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem'
const SUBSCRIBE_URL = `https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=${encodeURIComponent(TOPIC)}&Token=2336412f37`
const certificate = makeCertificate()
const picture = png()

type Draft = { -readonly [Name in keyof SnsMessage]: SnsMessage[Name] }

/** Signed as AWS describes it. */
function sign (fields: Partial<Draft>, { privateKey }: TestCertificate = certificate): Draft {
  const message = { Type: 'Notification', MessageId: '22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324', TopicArn: TOPIC, Message: '{}', Timestamp: '2026-11-25T09:30:00.000Z', SignatureVersion: '2', Signature: '', SigningCertURL: CERTIFICATE_URL, ...fields } satisfies Draft
  const names = message.Type === 'Notification' ? ['Message', 'MessageId', 'Subject', 'Timestamp', 'TopicArn', 'Type'] as const : ['Message', 'MessageId', 'SubscribeURL', 'Timestamp', 'Token', 'TopicArn', 'Type'] as const
  const text = names.filter(name => message[name] != null).map(name => `${name}\n${message[name]}\n`).join('')
  message.Signature = createSign(message.SignatureVersion === '1' ? 'RSA-SHA1' : 'RSA-SHA256').update(text).sign(privateKey, 'base64')
  return message
}

async function start (t: Test, fetchText?: (url: URL) => Promise<string>, env: Record<string, string> = {}) {
  const fetched: string[] = []
  const service = await startService(t, s3, {
    env: { EVENTS_SNS_TOPIC_ARNS: `${TOPIC}, arn:aws-cn:sns:cn-north-1:123456789012:uploads`, ...env },
    adapt: services => ({
      ...services,
      async fetchText (url) {
        fetched.push(url.href)
        return await (fetchText?.(url) ?? certificate.pem)
      }
    })
  })
  return {
    ...service,
    fetched,
    post: async (message: unknown, headers: Record<string, string> = {}) => await service.app.inject({ method: 'POST', url: '/events/s3', payload: JSON.stringify(message), headers: { 'content-type': 'text/plain; charset=UTF-8', 'x-amz-sns-message-type': 'Notification', ...headers } })
  }
}

t.test('a signed message of a topic makes the file ready, and the certificate is fetched once', async t => {
  const { post, call, token, bucket, fetched, services } = await start(t)
  const ada = await token('ada')
  for (const [SignatureVersion, more] of [['1', {}], ['2', { Subject: 'Amazon S3 Notification' }], ['2', { Subject: null as unknown as string }]] as const) {
    const { file, upload } = (await call('POST', '/uploads', { token: ada, body: { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length } })).json()
    await send(upload, picture)
    const Message = JSON.stringify({ Records: [{ eventSource: 'aws:s3', eventName: 'ObjectCreated:Put', s3: { bucket: { name: bucket }, object: { key: file.key } } }] })
    const reply = await post(sign({ Message, SignatureVersion, ...more }))
    t.equal(reply.statusCode, 200, reply.body)
    t.strictSame(reply.json(), { received: 1 })
    await until(() => services.background.size === 0)
    t.match((await call('GET', `/files/${file.id}`, { token: ada })).json(), { file: { status: 'ready' } })
  }
  t.strictSame(fetched, [CERTIFICATE_URL])
})

t.test('T39: every part of a message is signed, and nothing unsigned is followed', async t => {
  const other = makeCertificate()
  const old = makeCertificate({ to: new Date('2021-01-01T00:00:00Z') })
  const future = makeCertificate({ from: new Date('2044-01-01T00:00:00Z') })
  const good = sign({ Message: '{"Records":[]}', Subject: 'a' })
  const foreign = (SigningCertURL: string) => sign({ SigningCertURL })
  const changed: ReadonlyArray<[name: string, message: unknown, fetches: boolean, pem?: string]> = [
    ['another message', { ...good, Message: '{"Records":[1]}' }, true],
    ['another id', { ...good, MessageId: 'x' }, true],
    ['another time', { ...good, Timestamp: '2026-11-25T09:30:01.000Z' }, true],
    ['another subject', { ...good, Subject: 'b' }, true],
    ['no subject', { ...good, Subject: undefined }, true],
    ['another type', { ...good, Type: 'UnsubscribeConfirmation' }, true],
    ['another signature', { ...good, Signature: sign({ Message: 'x' }).Signature }, true],
    ['no signature', { ...good, Signature: '' }, true],
    ['another version', { ...good, SignatureVersion: '1' }, true],
    ['an unknown version', { ...good, SignatureVersion: '3' }, true],
    ['another key', sign({}, other), true],
    ['a certificate of the past', sign({}, old), true, old.pem],
    ['a certificate of the future', sign({}, future), true, future.pem],
    ['a certificate that is none', good, true, '<html>'],
    ['a topic of someone else', sign({ TopicArn: 'arn:aws:sns:eu-central-1:210987654321:uploads' }), false],
    ['a topic that only begins alike', sign({ TopicArn: `${TOPIC}2` }), false],
    ['a certificate of another host', foreign('https://evil.example/SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem'), false],
    ['a host that only begins alike', foreign('https://sns.eu-central-1.amazonaws.com.evil.example/SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem'), false],
    ['a bucket of someone', foreign('https://evil.s3.eu-central-1.amazonaws.com/SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem'), false],
    ['another region', foreign('https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem'), false],
    ['the host as a user', foreign('https://sns.eu-central-1.amazonaws.com@evil.example/SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem'), false],
    ['another port', foreign('https://sns.eu-central-1.amazonaws.com:8443/SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem'), false],
    ['plain http', foreign(CERTIFICATE_URL.replace('https', 'http')), false],
    ['another path', foreign('https://sns.eu-central-1.amazonaws.com/?Action=Publish'), false],
    ['a path with more', foreign(`${CERTIFICATE_URL}?x=.pem`), false],
    ['no URL', foreign('x'), false],
    ['no certificate', { ...good, SigningCertURL: undefined }, false],
    ['an unknown type', { ...good, Type: 'Ping' }, false],
    ['a number in it', { ...good, Message: 7 }, false],
    ['an event without any message around', { Records: [] }, false],
    ['null', null, false]
  ]
  for (const [name, message, fetches, pem = certificate.pem] of changed) {
    const { post, fetched } = await start(t, async () => pem)
    const reply = await post(message)
    t.equal(reply.statusCode, 401, `${name}: ${reply.body}`)
    t.equal(fetched.length, fetches ? 1 : 0, `${name}: what is fetched`)
  }
  const { post } = await start(t)
  t.equal((await post(good)).statusCode, 200, 'while unchanged it is good')
  t.equal((await post(good, { authorization: 'Bearer guess' })).statusCode, 401, 'and no secret is guessed beside it')
})

t.test('a subscription is confirmed for topics of the configuration alone, and at AWS alone', async t => {
  const { post, fetched, services } = await start(t)
  const confirmation = (SubscribeURL: string, more: Partial<Draft> = {}) => sign({ Type: 'SubscriptionConfirmation', Message: 'You have chosen to subscribe', Token: '2336412f37', SubscribeURL, ...more })
  t.equal((await post(confirmation(SUBSCRIBE_URL))).statusCode, 200)
  await until(() => services.background.size === 0)
  t.strictSame(fetched, [CERTIFICATE_URL, SUBSCRIBE_URL])
  for (const url of ['https://evil.example/?Action=ConfirmSubscription', SUBSCRIBE_URL.replace('https', 'http'), SUBSCRIBE_URL.replace('ConfirmSubscription', 'Unsubscribe'), SUBSCRIBE_URL.replace('123456789012', '210987654321'), 'http://169.254.169.254/']) {
    t.equal((await post(confirmation(url))).statusCode, 200)
    await until(() => services.background.size === 0)
  }
  t.equal((await post(confirmation(SUBSCRIBE_URL, { TopicArn: 'arn:aws:sns:eu-central-1:210987654321:uploads' }))).statusCode, 401)
  t.equal((await post({ ...confirmation(SUBSCRIBE_URL), SubscribeURL: 'https://sns.eu-central-1.amazonaws.com/' })).statusCode, 401)
  t.equal((await post({ ...confirmation(SUBSCRIBE_URL), Token: 'x' })).statusCode, 401)
  t.equal(fetched.length, 2, 'nothing else was asked')
})

t.test('China has a domain of its own', async t => {
  const { post, fetched } = await start(t)
  const SigningCertURL = CERTIFICATE_URL.replace('eu-central-1.amazonaws.com', 'cn-north-1.amazonaws.com.cn')
  t.equal((await post(sign({ TopicArn: 'arn:aws-cn:sns:cn-north-1:123456789012:uploads', SigningCertURL }))).statusCode, 200)
  t.strictSame(fetched, [SigningCertURL])
})

t.test('a certificate that cannot be fetched is 503, and is asked for again', async t => {
  let isDown = true
  const { post, fetched } = await start(t, async () => {
    if (isDown) throw new Error('down')
    return certificate.pem
  })
  const reply = await post(sign({}))
  t.equal(reply.statusCode, 503)
  t.match(reply.json(), { code: 'AUTH_UNAVAILABLE', retryAfterSeconds: Number })
  isDown = false
  t.equal((await post(sign({}))).statusCode, 200)
  t.equal(fetched.length, 2)
})

t.test('the secret and topics go side by side', async t => {
  const { post } = await start(t, undefined, { EVENTS_TOKEN: 'x'.repeat(32) })
  t.equal((await post({ Records: [] }, { authorization: `Bearer ${'x'.repeat(32)}` })).statusCode, 200)
  t.equal((await post(sign({}))).statusCode, 200)
  t.equal((await post({ Records: [] })).statusCode, 401)
})
