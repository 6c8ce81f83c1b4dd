import t from 'tap'
import type { FindingId } from '../../src/doctor/finding.js'
import type { Fault, ProxiedRequest } from './fixtures/s3-proxy.js'
import { startEmbeddedTestS3 } from '../helpers/s3.js'
import { GOOD_CORS, GOOD_LIFECYCLE, leftIn, look, makePatient, examine, ORIGIN, POLICIES, problems, type LookOptions } from '../doctor/fixtures/look.js'

// A store in which all is well, broken in one way at a time: one finding must tell, and no other.
const s3 = await startEmbeddedTestS3(t)

const taken: Fault = { kind: 'rewrite', status: 200, body: '' }
const denied: Fault = { kind: 'answer', status: 403, body: '<Error><Code>AccessDenied</Code></Error>' }
const unknown: Fault = { kind: 'answer', status: 501, body: '<Error><Code>NotImplemented</Code></Error>' }
const answer = (body: string): Fault => ({ kind: 'answer', status: 200, body })
const isFor = ({ url }: ProxiedRequest, name: string): boolean => new RegExp(`/presignd-doctor-[0-9a-f]+/${name}(\\?|$)`).test(url)
/** When a request of this operation is for this object of a probe. */
const when = (operation: string, name: string, fault: Fault) => (request: ProxiedRequest) => request.operation === operation && isFor(request, name) ? fault : undefined
/** When a bucket's own setting is asked for, or its listing without one. */
const setting = (name: string, fault: Fault) => ({ operation, url }: ProxiedRequest) => operation === 'GET bucket' && new URL(url, 'http://s').searchParams.has(name) ? fault : undefined
/** For the nth form. */
function form (nth: number, fault: Fault): LookOptions['rule'] {
  let count = 0
  return ({ operation }) => operation === 'POST bucket' && ++count === nth ? fault : undefined
}
const anyForm = (fault: Fault) => ({ operation }: ProxiedRequest) => operation === 'POST bucket' ? fault : undefined
const anonymous = (method: string, name: string, fault: Fault) => (request: ProxiedRequest) => request.method === method && isFor(request, name) && !request.url.includes('?') ? fault : undefined
const both = (...rules: Array<NonNullable<LookOptions['rule']>>) => (request: ProxiedRequest) => rules.map(rule => rule(request)).find(fault => fault !== undefined)
const withoutForms = POLICIES.replace('PUT, POST, multipart', 'PUT, multipart')
const withoutParts = POLICIES.replace('PUT, POST, multipart', 'PUT, POST')
const NO_EFFECT = Buffer.from('presignd doctor was here')

const broken: ReadonlyArray<[name: string, options: LookOptions, level: 'warn' | 'fail', id: FindingId, message: RegExp, fix: RegExp]> = [
  ['F16: hides what is missing from those who may not list', { rule: both(when('HeadObject', 'missing-key', denied), setting('list-type', denied)) }, 'fail', 'missing-key', /a 403, not a 404/, /allow s3:ListBucket on arn:aws:s3:::test-/],
  ['F16: hides what is missing although it lists', { rule: when('HeadObject', 'missing-key', denied) }, 'fail', 'missing-key', /a 403, not a 404/, /allow s3:ListBucket/],
  ['cannot list', { rule: setting('list-type', unknown) }, 'fail', 'missing-key', /does not tell .*NotImplemented/, /another store|follows S3/],
  ['T24: overwrites in spite of If-None-Match', { rule: when('PutObject', 'create-only-put', taken) }, 'fail', 'create-only-put', /a second PUT overwrites/, /^set S3_CONDITIONAL_WRITES=false/],
  ['checks no signature', { rule: when('PutObject', 'signature', taken) }, 'fail', 'signature', /a wrong signature is accepted/, /another store/],
  ['lets a URL for a PUT delete', { rule: when('DeleteObject', 'signature', taken) }, 'fail', 'signature', /a wrong signature is accepted/, /another store/],
  ['calls a wrong signature by another name', { rule: when('PutObject', 'signature', denied) }, 'warn', 'signature', /as AccessDenied/, /^none is needed/],
  ['forgets when a URL ends', { rule: when('PutObject', 'expiry', taken) }, 'fail', 'expiry', /lives on after its end/, /X-Amz-Expires/],
  ['takes a URL before its time', { rule: when('PutObject', 'future-date', taken) }, 'warn', 'future-date', /works before its time/, /NTP/],
  ['T15: takes another type', { rule: when('PutObject', 'signed-type', taken) }, 'fail', 'signed-type', /another content type than the signed one is taken/, /signed headers/],
  ['T16: takes another length', { rule: when('PutObject', 'signed-length', taken) }, 'fail', 'signed-length', /another length than the signed one is taken/, /Content-Length/],
  ['T20: publishes by an unsigned x-amz-acl', { rule: both(when('PutObject', 'unsigned-acl', taken), when('GetObject', 'unsigned-acl', answer('x'))) }, 'fail', 'unsigned-acl', /can publish the object/, /docs\/doctor.md#unsigned-headers/],
  ['takes an unsigned x-amz-acl without effect', { rule: when('PutObject', 'unsigned-acl', taken) }, 'warn', 'unsigned-acl', /does nothing/, /^none is needed/],
  ['copies by an unsigned x-amz-copy-source', { rule: both(when('CopyObject', 'unsigned-copy-source', taken), when('GetObject', 'unsigned-copy-source', answer(Buffer.from(NO_EFFECT).reverse().toString()))) }, 'fail', 'unsigned-copy-source', /can copy any object/, /docs\/doctor.md#unsigned-headers/],
  ['takes an unsigned x-amz-copy-source without effect', { rule: both(when('CopyObject', 'unsigned-copy-source', taken), when('GetObject', 'unsigned-copy-source', answer(NO_EFFECT.toString()))) }, 'warn', 'unsigned-copy-source', /does nothing/, /^none is needed/],
  ['compares no checksum', { rule: when('PutObject', 'wrong-checksum', taken) }, 'fail', 'checksums', /a wrong SHA-256 is taken/, /^set S3_CHECKSUMS=false/],
  ['keeps no checksum', { rule: when('HeadObject', 'checksum', { kind: 'rewrite', headers: { 'x-amz-checksum-sha256': undefined } }) }, 'fail', 'checksums', /a SHA-256 is not kept/, /^set S3_CHECKSUMS=false/],
  ['knows no checksums', { rule: when('PutObject', 'checksum', unknown) }, 'fail', 'checksums', /the right SHA-256 is refused/, /^set S3_CHECKSUMS=false/],
  ['compares no hash of the payload', { rule: when('PutObject', 'wrong-checksum', taken), env: { S3_CHECKSUMS: 'false' } }, 'fail', 'checksums', /although the hash of the payload is signed/, /x-amz-content-sha256/],
  ['T21: heeds no response overrides', { rule: when('GetObject', 'download', { kind: 'rewrite', headers: { 'content-disposition': undefined } }) }, 'fail', 'download', /does not carry the signed content-disposition/, /response-content-disposition/],
  ['lets nobody read', { rule: when('GetObject', 'download', denied) }, 'fail', 'download', /a presigned GET is refused \(AccessDenied\)/, /allow s3:GetObject/],
  ['takes no forms', { rule: anyForm(unknown) }, 'fail', 'post', /forms are refused \(NotImplemented\)/, /leave POST out of the methods of pictures/],
  ['T19: takes a form with a byte too many', { rule: form(2, taken) }, 'fail', 'post-length', /a byte too many or too few is taken/, /leave POST out of the methods of pictures/],
  ['T19: takes a form with no byte', { rule: form(3, taken) }, 'fail', 'post-length', /a byte too many or too few is taken/, /content-length-range/],
  ['T19: takes a form with another key', { rule: form(4, taken) }, 'fail', 'post-fields', /another key, type or field than signed is taken/, /POST policies/],
  ['T19: takes a form with another type', { rule: form(5, taken) }, 'fail', 'post-fields', /another key, type or field than signed is taken/, /POST policies/],
  ['T19: takes a form with one more field', { rule: form(6, taken) }, 'fail', 'post-fields', /another key, type or field than signed is taken/, /POST policies/],
  ['keeps the headers of what it copies', { rule: when('HeadObject', 'copy', { kind: 'rewrite', headers: { 'content-type': 'text/plain' } }) }, 'fail', 'copy', /does not come out as asked/, /x-amz-metadata-directive/],
  ['copies whatever version is there', { rule: when('CopyObject', 'copy-condition', { kind: 'answer', status: 200, body: '<CopyObjectResult><ETag>"a"</ETag></CopyObjectResult>' }) }, 'warn', 'copy-condition', /x-amz-copy-source-if-match is ignored/, /^none is needed/],
  ['copies over what is there', { rule: when('CopyObject', 'create-only-copy', { kind: 'answer', status: 200, body: '<CopyObjectResult><ETag>"a"</ETag></CopyObjectResult>' }) }, 'warn', 'create-only-copy', /If-None-Match is ignored on CopyObject/, /^none is needed/],
  ['begins no upload in parts', { rule: when('CreateMultipartUpload', 'multipart', denied) }, 'fail', 'multipart', /does not work \(AccessDenied\)/, /allow s3:PutObject, s3:AbortMultipartUpload/],
  ['loses bytes of parts', { rule: when('HeadObject', 'multipart', { kind: 'rewrite', headers: { 'content-length': '1' } }) }, 'fail', 'multipart', /does not come together/, /leave multipart out/],
  ['T16: takes a part of another length', { rule: when('UploadPart', 'part-length', taken) }, 'fail', 'part-length', /a part of another length than the signed one is taken/, /Content-Length/],
  ['wants parts of one size', { rule: when('CompleteMultipartUpload', 'unequal-parts', { kind: 'answer', status: 400, body: '<Error><Code>InvalidPart</Code></Error>' }) }, 'warn', 'unequal-parts', /all parts but the last must be of one size/, /^set S3_UNEQUAL_PARTS=false/],
  ['completes over what is there', { rule: when('CompleteMultipartUpload', 'create-only-complete', { kind: 'answer', status: 200, body: '<CompleteMultipartUploadResult><ETag>"a"</ETag></CompleteMultipartUploadResult>' }) }, 'warn', 'create-only-complete', /If-None-Match is ignored on CompleteMultipartUpload/, /^none is needed/],
  ['lets pages send nothing', { cors: [] }, 'fail', 'cors-methods', /pages of https:\/\/app.example.com may not send PUT, POST, GET, HEAD, DELETE$/, /presignd doctor --apply/],
  ['lets pages send no form', { cors: [{ ...GOOD_CORS, AllowedMethods: ['PUT', 'GET', 'HEAD', 'DELETE'] }] }, 'fail', 'cors-methods', /may not send POST$/, /presignd doctor --apply/],
  ['lets pages of others alone send', { cors: [{ ...GOOD_CORS, AllowedOrigins: ['https://other.example.com'] }] }, 'fail', 'cors-methods', /pages of https:\/\/app.example.com/, /presignd doctor --apply/],
  ['lets pages send too few headers', { cors: [{ ...GOOD_CORS, AllowedHeaders: ['content-type', 'x-amz-*'] }] }, 'fail', 'cors-headers', /may not send the headers if-none-match$/, /presignd doctor --apply/],
  ['hides the ETag from pages', { cors: [{ ...GOOD_CORS, ExposeHeaders: [] }] }, 'fail', 'cors-etag', /do not see the ETag/, /presignd doctor --apply/],
  ['hides the ETag from pages that need none', { cors: [{ ...GOOD_CORS, ExposeHeaders: [] }], policies: withoutParts }, 'warn', 'cors-etag', /do not see the ETag/, /presignd doctor --apply/],
  ['keeps abandoned parts', { lifecycle: GOOD_LIFECYCLE.slice(1) }, 'warn', 'lifecycle-parts', /aborts abandoned multipart uploads under pictures\//, /presignd doctor --apply/],
  ['has a rule for parts that is switched off', { lifecycle: GOOD_LIFECYCLE.map((rule, index) => index === 0 ? { ...rule, Status: 'Disabled' } : rule) }, 'warn', 'lifecycle-parts', /under pictures\//, /presignd doctor --apply/],
  ['keeps what is left in staging', { lifecycle: GOOD_LIFECYCLE.slice(0, 1) }, 'warn', 'lifecycle-staging', /expires what is left under staging\//, /presignd doctor --apply/],
  ['deletes files by a rule', { lifecycle: [...GOOD_LIFECYCLE, { ID: 'tidy', Status: 'Enabled', Filter: { Prefix: 'pictures/ada/' }, Expiration: { Days: 30 } }] }, 'fail', 'lifecycle-files', /the rule "tidy" of the bucket deletes files of pictures/, /retentionDays/],
  ['deletes everything by a rule', { lifecycle: [...GOOD_LIFECYCLE, { ID: 'all', Status: 'Enabled', Filter: { Prefix: '' }, Expiration: { Date: new Date('2030-01-01T00:00:00Z') } }] }, 'fail', 'lifecycle-files', /the rule "all"/, /retentionDays/],
  ['shows its lifecycle rules to nobody', { rule: setting('lifecycle', denied) }, 'warn', 'lifecycle-parts', /cannot be read: AccessDenied/, /allow s3:GetLifecycleConfiguration/],
  ['has no lifecycle rules', { rule: setting('lifecycle', unknown) }, 'warn', 'lifecycle-parts', /cannot be read: NotImplemented/, /presignd reconcile --apply/],
  ['lets anyone read', { rule: anonymous('GET', 'public-read', answer('x')) }, 'fail', 'public-access', /anyone may read pictures\/, staging\/, without/, /make the bucket private/],
  ['lets anyone list', { rule: ({ method, url }) => method === 'GET' && /^\/[^/]+\/?$/.test(url) ? answer('<ListBucketResult/>') : undefined }, 'fail', 'public-access', /anyone may list the bucket,/, /make the bucket private/],
  ['lets anyone write', { rule: anonymous('PUT', 'public-write', answer('')) }, 'fail', 'public-access', /anyone may write to it,/, /make the bucket private/],
  ['keeps what it should delete', { rule: when('DeleteObject', 'copy', denied) }, 'fail', 'delete', /could not be deleted \(AccessDenied\): 1 are left below pictures\/presignd-doctor-/, /allow s3:DeleteObject/],
  ['cannot give up parts', { rule: when('AbortMultipartUpload', 'part-length', denied) }, 'warn', 'delete', /could not be given up \(AccessDenied\)/, /s3:AbortMultipartUpload/]
]
for (const [name, options, level, id, message, fix] of broken) {
  t.test(`a store that ${name}`, async t => {
    const found = problems(await look(t, s3, options))
    t.strictSame(found.map(({ id, level }) => ({ id, level })), [{ id, level }], JSON.stringify(found))
    t.match(found[0]?.message, message)
    t.match(found[0]?.fix, fix)
  })
}

const harmless: ReadonlyArray<[name: string, options: LookOptions, id: FindingId, message: RegExp]> = [
  ['one that is well', {}, 'put', /arrives/],
  ['one that overwrites, where uploads are sealed', { rule: when('PutObject', 'create-only-put', taken), env: { S3_CONDITIONAL_WRITES: 'false' } }, 'create-only-put', /sealed by a copy/],
  ['one that keeps no checksum, where none is trusted', { rule: when('HeadObject', 'checksum', { kind: 'rewrite', headers: { 'x-amz-checksum-sha256': undefined } }), env: { S3_CHECKSUMS: 'false' } }, 'checksums', /refused by the hash of the payload/],
  ['one without forms, where no policy asks for them', { rule: anyForm(unknown), policies: withoutForms }, 'post', /no policy asks for them/],
  ['one that enforces no forms, where no policy asks for them', { rule: form(2, taken), policies: withoutForms }, 'post-length', /but no policy asks for forms/],
  ['one whose copies come out wrong, where nothing is copied', { rule: when('HeadObject', 'copy', { kind: 'rewrite', headers: { 'content-type': 'text/plain' } }), policies: withoutForms }, 'copy', /nothing is copied/],
  ['one that wants parts of one size, where that is known', { rule: when('CompleteMultipartUpload', 'unequal-parts', { kind: 'answer', status: 400, body: '<Error><Code>InvalidPart</Code></Error>' }), env: { S3_UNEQUAL_PARTS: 'false' } }, 'unequal-parts', /are told/],
  ['one without conditions on copies, that says so', { rule: when('CopyObject', 'create-only-copy', unknown) }, 'create-only-copy', /not offered/],
  ['one without CORS, where no page sends', { cors: [], env: { CORS_ORIGINS: undefined } }, 'cors', /not needed/],
  ['one that deletes later than presignd', { lifecycle: [...GOOD_LIFECYCLE, { ID: 'tidy', Status: 'Enabled', Filter: { Prefix: 'pictures/' }, Expiration: { Days: 30 } }], policies: `${POLICIES}    retentionDays: 30\n` }, 'lifecycle-files', /no rule/],
  ['one that deletes what has a tag', { lifecycle: [...GOOD_LIFECYCLE, { ID: 'tidy', Status: 'Enabled', Filter: { Tag: { Key: 'a', Value: 'b' } }, Expiration: { Days: 30 } }] }, 'lifecycle-files', /no rule/]
]
for (const [name, options, id, message] of harmless) {
  t.test(`a store that is fit: ${name}`, async t => {
    const findings = await look(t, s3, options)
    t.strictSame(problems(findings), [])
    t.match(findings.find(finding => finding.id === id)?.message, message)
  })
}

t.test('a probe that breaks says so, keeps no other from asking, and leaves nothing', async t => {
  const patient = await makePatient(t, s3, { rule: when('PutObject', 'signed-type', { kind: 'answer', status: 503, body: '<Error><Code>SlowDown</Code></Error>' }) })
  t.match(problems(await examine(patient)), [{ id: 'signed-type', level: 'fail', message: 'could not be measured (SlowDown)' }])
  t.strictSame(await leftIn(s3, patient.bucket), [])
})

t.test('tells of each origin by itself', async t => {
  const found = problems(await look(t, s3, { env: { CORS_ORIGINS: `${ORIGIN}, https://other.example.com` } }))
  t.match(found, [{ id: 'cors-methods', message: /^pages of https:\/\/other.example.com may not/ }])
})
