import { createHash } from 'node:crypto'

import { PutObjectCommand } from '@aws-sdk/client-s3'
import t from 'tap'

import { startTestS3 } from '../../helpers/s3.js'
import { signPostPolicy, type PolicyCondition } from '../../helpers/sigv4.js'
import { measureCapabilities } from './fixtures/capabilities.js'
import { element, hostOf, requestFor, send, sendSigned, type WireResponse } from './fixtures/send.js'

const s3 = await startTestS3(t)
const bucket = await s3.createBucket()
const capabilities = await measureCapabilities(s3)
const isEmbedded = s3.kind === 'embedded'

/** A form as it is sent: fields in order, then the file, then what stands behind it. */
interface Form {
  readonly fields: Readonly<Record<string, string>>
  readonly file: string
  readonly fileName: string
  readonly behind: Readonly<Record<string, string>>
}

const boundary = 'presigned-form-boundary'

function renderForm ({ fields, file, fileName, behind }: Form): string {
  const field = ([name, value]: [string, string]): string => `--${boundary}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
  return Object.entries(fields).map(field).join('') +
    `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="${fileName}"\r\nContent-Type: text/html\r\n\r\n${file}\r\n` +
    Object.entries(behind).map(field).join('') + `--${boundary}--\r\n`
}

async function postBody (body: string): Promise<WireResponse> {
  return await send(s3.endpoint, { method: 'POST', target: `/${bucket}`, headers: { host: hostOf(s3.endpoint), 'content-type': `multipart/form-data; boundary=${boundary}` }, body })
}

interface Case {
  readonly conditions?: readonly PolicyCondition[]
  readonly expiration?: Date
  readonly at?: Date
  /** Changes the signed form. */
  readonly change?: (form: Form) => Partial<Form>
}

let count = 0

/** A valid form that is changed in one place. */
async function post ({ conditions = [], expiration = new Date(Date.now() + 60_000), at = new Date(), change = () => ({}) }: Case = {}): Promise<WireResponse & { readonly key: string }> {
  const key = `form/${++count}.txt`
  const values = { key, 'Content-Type': 'text/plain', 'x-amz-meta-owner': 'alice' }
  const all = [{ bucket }, ...Object.entries(values).map(([name, value]) => ({ [name]: value })), ['content-length-range', 3, 10] as const, ...conditions]
  const form: Form = { fields: { ...values, ...signPostPolicy(all, s3.credentials, { at, expiration }) }, file: 'hello', fileName: 'photo.jpg', behind: {} }
  const changed = { ...form, ...change(form) }
  return { ...await postBody(renderForm(changed)), key: changed.fields['key'] ?? key }
}

function withFields (more: Readonly<Record<string, string>>): (form: Form) => Partial<Form> {
  return ({ fields }) => ({ fields: { ...more, ...fields, ...more } })
}

function withoutField (name: string): (form: Form) => Partial<Form> {
  return ({ fields }) => ({ fields: Object.fromEntries(Object.entries(fields).filter(([found]) => found !== name)) })
}

async function get (key: string): Promise<WireResponse> {
  return await sendSigned(s3, requestFor(s3, 'GET', bucket, key))
}

t.test('a form stores its file with the headers of its fields', async (t) => {
  const response = await post()
  t.equal(response.status, 204)
  if (isEmbedded) t.equal(response.headers['etag'], `"${createHash('md5').update('hello').digest('hex')}"`)
  t.match(await get(response.key), { status: 200, body: 'hello', headers: { 'content-type': 'text/plain', 'x-amz-meta-owner': 'alice' } })
})

const accepted: Array<[name: string, what: Case, status?: number]> = [
  ['the smallest file of the range', { change: () => ({ file: 'abc' }) }],
  ['the largest file of the range', { change: () => ({ file: '0123456789' }) }],
  ['fields in another case than their conditions', { change: ({ fields: { 'Content-Type': type = '', ...fields } }) => ({ fields: { ...fields, 'content-type': type } }) }],
  ['a field to ignore', { change: withFields({ 'x-ignore-me': 'x' }) }],
  ['fields behind the file, which do not count', { change: () => ({ behind: { acl: 'public-read', key: 'other' } }) }],
  ['starts-with', { conditions: [['starts-with', '$Cache-Control', 'max-']], change: withFields({ 'Cache-Control': 'max-age=1' }) }],
  ['starts-with of nothing', { conditions: [['starts-with', '$Cache-Control', '']], change: withFields({ 'Cache-Control': 'anything' }) }],
  ['eq in its long form', { conditions: [['eq', '$Cache-Control', 'no-store']], change: withFields({ 'Cache-Control': 'no-store' }) }],
  ['success_action_status 200', { conditions: [{ success_action_status: '200' }], change: withFields({ success_action_status: '200' }) }, 200],
  ['success_action_status 201', { conditions: [{ success_action_status: '201' }], change: withFields({ success_action_status: '201' }) }, 201],
  ['a canned ACL that the policy names', { conditions: [{ acl: 'private' }], change: withFields({ acl: 'private' }) }]
]
t.test('a form is accepted with', async (t) => {
  for (const [name, what, status = 204] of accepted) {
    await t.test(name, async (t) => {
      const response = await post(what)
      t.equal(response.status, status, response.body)
      t.equal((await get(response.key)).status, 200)
    })
  }
})

const refused: Array<[name: string, what: Case, status: number, code: string, message?: RegExp]> = [
  ['one byte more than the range (T19)', { change: () => ({ file: '01234567890' }) }, 400, 'EntityTooLarge'],
  ['one byte less than the range', { change: () => ({ file: 'ab' }) }, 400, 'EntityTooSmall'],
  ['another key', { change: withFields({ key: 'form/other' }) }, 403, 'AccessDenied', /Policy Condition failed: .*key/],
  ['another type', { change: withFields({ 'Content-Type': 'text/html' }) }, 403, 'AccessDenied', /Policy Condition failed/],
  ['other metadata', { change: withFields({ 'x-amz-meta-owner': 'bob' }) }, 403, 'AccessDenied', /Policy Condition failed/],
  ['a field left out', { change: withoutField('x-amz-meta-owner') }, 403, 'AccessDenied', /Policy Condition failed/],
  ['an extra acl', { change: withFields({ acl: 'public-read' }) }, 403, 'AccessDenied', /Extra input fields: acl/],
  ['extra metadata', { change: withFields({ 'x-amz-meta-x': 'y' }) }, 403, 'AccessDenied', /Extra input fields: x-amz-meta-x/],
  ['an extra redirect', { change: withFields({ success_action_redirect: 'https://evil.example' }) }, 403, 'AccessDenied', /Extra input fields/],
  ['an extra website redirect', { change: withFields({ 'x-amz-website-redirect-location': 'https://evil.example' }) }, 403, 'AccessDenied', /Extra input fields/],
  ['a prefix that does not hold', { conditions: [['starts-with', '$Cache-Control', 'max-']], change: withFields({ 'Cache-Control': 'no-store' }) }, 403, 'AccessDenied', /Policy Condition failed/],
  ['a policy that has expired', { expiration: new Date(Date.now() - 1000) }, 403, 'AccessDenied', /Policy expired/],
  ['another bucket\'s policy', { conditions: [{ bucket: 'other-bucket' }] }, 403, 'AccessDenied', /Policy Condition failed/],
  ['a policy that was edited', { change: ({ fields }) => ({ fields: { ...fields, policy: Buffer.from(Buffer.from(fields['policy'] ?? '', 'base64').toString().replace('3,10', '3,99')).toString('base64') } }) }, 403, 'SignatureDoesNotMatch'],
  ['another signature', { change: ({ fields }) => ({ fields: { ...fields, 'x-amz-signature': '0'.repeat(64) } }) }, 403, 'SignatureDoesNotMatch'],
  ['an unknown access key', { change: ({ fields }) => ({ fields: { ...fields, 'x-amz-credential': (fields['x-amz-credential'] ?? '').replace(/^[^/]+/, 'AKIDNOBODY') } }) }, 403, 'InvalidAccessKeyId'],
  ['no policy and no signature', { change: ({ fields: { key = '' } }) => ({ fields: { key } }) }, 403, 'AccessDenied']
]
t.test('a form with one fault is refused and stores nothing:', async (t) => {
  for (const [name, what, status, code, message] of refused) {
    await t.test(name, async (t) => {
      const response = await post(what)
      t.equal(response.status, status)
      // Other servers have one code for all that is wrong with a signature.
      if (isEmbedded || status !== 403) t.equal(response.code, code)
      else t.match(response.code, /^(?:AccessDenied|SignatureDoesNotMatch|InvalidAccessKeyId)$/)
      if (isEmbedded && message !== undefined) t.match(response.body, message)
      t.equal((await get(response.key)).status, 404)
    })
  }
})

const strict: Array<[name: string, what: Case, status: number, code: string]> = [
  ['no key', { change: withoutField('key') }, 400, 'InvalidArgument'],
  ['no algorithm', { change: withoutField('x-amz-algorithm') }, 400, 'InvalidArgument'],
  ['no credential', { change: withoutField('x-amz-credential') }, 400, 'InvalidArgument'],
  ['no date', { change: withoutField('x-amz-date') }, 400, 'InvalidArgument'],
  ['no signature', { change: withoutField('x-amz-signature') }, 400, 'InvalidArgument'],
  ['another algorithm', { change: withFields({ 'x-amz-algorithm': 'AWS4-HMAC-SHA1' }) }, 400, 'InvalidArgument'],
  ['a date of another day', { change: withFields({ 'x-amz-date': '20200101T000000Z' }) }, 400, 'InvalidArgument'],
  ['a condition of an unknown kind', { conditions: [['ends-with', '$key', '.txt']] }, 400, 'InvalidPolicyDocument'],
  ['a condition with two fields', { conditions: [{ a: 'b', c: 'd' }] }, 400, 'InvalidPolicyDocument'],
  ['a range without numbers', { conditions: [['content-length-range', 'a', 'b']] }, 400, 'InvalidPolicyDocument'],
  ['a type in a list of which one does not hold', { conditions: [['starts-with', '$Content-Type', 'text/']], change: withFields({ 'Content-Type': 'text/plain,image/png' }) }, 403, 'AccessDenied'],
  ['an ACL that is none', { conditions: [{ acl: 'everyone' }], change: withFields({ acl: 'everyone' }) }, 400, 'InvalidArgument'],
  ['fields over 20 KB', { conditions: [['starts-with', '$x-amz-meta-big', '']], change: withFields({ 'x-amz-meta-big': 'x'.repeat(21_000) }) }, 400, 'MaxPostPreDataLengthExceeded'],
  ['a key over 1,024 bytes', { conditions: [['starts-with', '$key', '']], change: withFields({ key: 'k'.repeat(1025) }) }, 403, 'AccessDenied'],
  ['a Content-MD5 of other bytes', { conditions: [['starts-with', '$content-md5', '']], change: withFields({ 'content-md5': createHash('md5').update('other').digest('base64') }) }, 400, 'BadDigest'],
  ['a checksum of other bytes', { conditions: [['starts-with', '$x-amz-checksum-crc32', '']], change: withFields({ 'x-amz-checksum-crc32': 'AAAAAA==' }) }, 400, 'BadDigest']
]
t.test('a form is refused as AWS documents for', async (t) => {
  if (!capabilities.checksumsKept) return t.notOk(isEmbedded, 'only a server with AWS\'s newer rules')
  for (const [name, what, status, code] of strict) {
    await t.test(name, async (t) => {
      const response = await post(what)
      t.equal(response.status, status, response.body)
      t.equal(response.code, code)
    })
  }
})

t.test('a form\'s checksum is kept', async (t) => {
  if (!capabilities.checksumsKept) return t.notOk(isEmbedded)
  const response = await post({ conditions: [{ 'x-amz-checksum-crc32': 'NhCmhg==' }], change: withFields({ 'x-amz-checksum-crc32': 'NhCmhg==' }) })
  t.equal(response.status, 204)
  const head = await sendSigned(s3, requestFor(s3, 'HEAD', bucket, response.key, { headers: { 'x-amz-checksum-mode': 'ENABLED' } }))
  t.equal(head.headers['x-amz-checksum-crc32'], 'NhCmhg==')
})

t.test('success_action_status 201 describes the object', async (t) => {
  const { key, body } = await post({ conditions: [{ success_action_status: '201' }], change: withFields({ success_action_status: '201' }) })
  t.equal(element(body, 'Key'), key)
  t.equal(element(body, 'Bucket'), bucket)
  t.match(element(body, 'Location'), isEmbedded ? /^http:/ : /./)
  t.match(element(body, 'ETag'), /[0-9a-f]{32}/)
})

t.test('success_action_redirect sends the browser on', async (t) => {
  const target = 'https://app.example/done?a=b'
  const { status, headers, key } = await post({ conditions: [{ success_action_redirect: target }], change: withFields({ success_action_redirect: target }) })
  t.equal(status, 303)
  const location = new URL(headers['location'] ?? '')
  t.equal(location.host, 'app.example')
  t.match(Object.fromEntries(location.searchParams), isEmbedded ? { a: 'b', bucket, key } : { key })
})

t.test('the name of the file takes the place of its variable in the key', async (t) => {
  const variable = '$' + '{filename}'
  const prefix = `named/${++count}/`
  const conditions = [{ bucket }, ['starts-with', '$key', prefix] as const]
  const fields = { key: prefix + variable, ...signPostPolicy(conditions, s3.credentials, { at: new Date(), expiration: new Date(Date.now() + 60_000) }) }
  t.equal((await postBody(renderForm({ fields, file: 'hello', fileName: 'photo.jpg', behind: {} }))).status, 204)
  t.equal((await get(`${prefix}photo.jpg`)).status, 200)
})

t.test('a form that does not end stores nothing', async (t) => {
  if (!isEmbedded) return t.notOk(isEmbedded)
  const key = `form/${++count}.txt`
  const fields = { key, ...signPostPolicy([{ bucket }, { key }], s3.credentials, { at: new Date(), expiration: new Date(Date.now() + 60_000) }) }
  const form: Form = { fields, file: 'hello', fileName: 'a', behind: {} }
  const whole = renderForm(form)
  t.match(await postBody(whole.slice(0, -10 - boundary.length)), { status: 400, code: 'MalformedPOSTRequest' })
  t.match(await postBody(whole.replace('name="file"', 'name="upload"')), { status: 400, code: 'InvalidArgument' })
  t.match(await postBody(`--${boundary}\r\nContent-Disposition: form-data; name="key"\r\n\r\n${key}\r\n${whole}`), { status: 400, code: 'InvalidArgument' }, 'a field given twice')
  t.equal((await get(key)).status, 404)
  t.equal((await postBody(whole)).status, 204)
})

t.test('a form of the browser stores a file of many chunks', async (t) => {
  const key = `form/${++count}.bin`
  const signed = signPostPolicy([{ bucket }, { key }, ['content-length-range', 0, 3_000_000]], s3.credentials, { at: new Date(), expiration: new Date(Date.now() + 60_000) })
  const form = (sizeBytes: number): FormData => {
    const data = new FormData()
    for (const [name, value] of Object.entries({ key, ...signed })) data.append(name, value)
    data.append('file', new Blob([Buffer.alloc(sizeBytes, 'x')]), 'x.bin')
    return data
  }
  const url = `${s3.endpoint}/${bucket}`
  const large = await fetch(url, { method: 'POST', body: form(3_000_001) })
  t.equal(large.status, 400)
  t.match(await large.text(), /<Code>EntityTooLarge/)
  t.equal((await get(key)).status, 404)
  t.equal((await fetch(url, { method: 'POST', body: form(3_000_000) })).status, 204)
  t.equal((await get(key)).body.length, 3_000_000)
})

t.test('the SDK\'s client reads what a form stored, and a form overwrites (T24)', async (t) => {
  const key = `form/${++count}.txt`
  await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: 'before' }))
  const fields = { key, ...signPostPolicy([{ bucket }, { key }], s3.credentials, { at: new Date(), expiration: new Date(Date.now() + 60_000) }) }
  t.equal((await postBody(renderForm({ fields, file: 'after', fileName: 'a', behind: {} }))).status, 204)
  t.equal((await get(key)).body, 'after')
})
