import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'

import { ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import t from 'tap'

import { decodeChunks } from '../../../src/dev/s3/aws-chunked.js'
import { parseRequest, type S3Request } from '../../../src/dev/s3/request.js'
import { S3Error } from '../../../src/dev/s3/s3-error.js'
import { verifySignature } from '../../../src/dev/s3/verify-signature.js'
import { startEmbeddedTestS3 } from '../../helpers/s3.js'
import { canonicalRequest, sha256Hex, signChunks, signWithHeader, signWithQuery, type Signer, type WireRequest } from '../../helpers/sigv4.js'
import { presign, requestFor, send, sendText, type Sending } from './fixtures/send.js'

// The credentials, the time and the signatures of AWS's own examples:
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html (and sigv4-query-string-auth, sigv4-streaming)
const example = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' }
const exampleTime = new Date('2013-05-24T00:00:00Z')
const exampleVerifier = { credentials: example, region: 'us-east-1', now: () => exampleTime }
const exampleHost = { host: 'examplebucket.s3.amazonaws.com' }

const examples: Array<[name: string, request: WireRequest, signature: string]> = [
  ['GET object', { method: 'GET', target: '/test.txt', headers: { ...exampleHost, range: 'bytes=0-9' } }, 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41'],
  ['PUT object', {
    method: 'PUT',
    target: '/test%24file.text',
    headers: { ...exampleHost, date: 'Fri, 24 May 2013 00:00:00 GMT', 'x-amz-storage-class': 'REDUCED_REDUNDANCY' },
    body: 'Welcome to Amazon S3.'
  }, '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd'],
  ['GET bucket lifecycle', { method: 'GET', target: '/?lifecycle', headers: exampleHost }, 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543'],
  ['GET bucket (list objects)', { method: 'GET', target: '/?max-keys=2&prefix=J', headers: exampleHost }, '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7']
]

/** A request as the store sees it, except for the Host check, which AWS's host name would fail. */
function parsed ({ method, target, headers }: WireRequest): S3Request {
  const message = new IncomingMessage(new Socket())
  message.method = method
  message.url = target
  message.headers = { host: 'localhost' }
  message.headersDistinct['host'] = ['localhost']
  return { ...parseRequest(message, () => {}), headers: new Map(Object.entries(headers).map(([name, value]) => [name, [value]])) }
}

function codeOf (run: () => unknown): string | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    return error instanceof S3Error ? error.code : String(error)
  }
}

t.test('AWS\'s example of a signed header is accepted, and refused with another signature', async (t) => {
  for (const [name, request, signature] of examples) {
    t.test(name, async (t) => {
      const signedHeaders = [...Object.keys(request.headers), 'x-amz-content-sha256', 'x-amz-date'].sort()
      const signed = signWithHeader(request, example, { at: exampleTime, signedHeaders })
      t.match(signed.headers['authorization'], new RegExp(`Signature=${signature}$`), 'the tests\' own signer agrees')
      t.equal(codeOf(() => verifySignature(parsed(signed), exampleVerifier)), undefined)
      const other = signature.replace(/.$/, (digit) => digit === '0' ? '1' : '0')
      const authorization = signed.headers['authorization']?.replace(signature, other) ?? ''
      t.equal(codeOf(() => verifySignature(parsed({ ...signed, headers: { ...signed.headers, authorization } }), exampleVerifier)), 'SignatureDoesNotMatch')
    })
  }
})

t.test('AWS\'s example of a presigned URL is accepted', async (t) => {
  const signed = signWithQuery({ method: 'GET', target: '/test.txt', headers: exampleHost }, example, { at: exampleTime, expiresInSeconds: 86_400 })
  t.match(signed.target, /X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404$/)
  t.equal(codeOf(() => verifySignature(parsed(signed), exampleVerifier)), undefined)
})

const chunkedHeaders = {
  host: 's3.amazonaws.com',
  'content-encoding': 'aws-chunked',
  'content-length': '66824',
  'x-amz-decoded-content-length': '66560',
  'x-amz-storage-class': 'REDUCED_REDUNDANCY'
}
const chunkedHash = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'

t.test('AWS\'s example of a body in signed chunks is decoded, and refused when a byte changes', async (t) => {
  const signed = signWithHeader({ method: 'PUT', target: '/examplebucket/chunkObject.txt', headers: chunkedHeaders }, example, {
    at: exampleTime,
    payloadHash: chunkedHash,
    signedHeaders: [...Object.keys(chunkedHeaders), 'x-amz-content-sha256', 'x-amz-date'].sort()
  })
  const verified = verifySignature(parsed(signed), exampleVerifier)
  t.equal(verified.signature, '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9')
  const body = signChunks(['a'.repeat(65_536), 'a'.repeat(1024)], example, { at: exampleTime, seed: verified.signature })
  for (const signature of ['ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648', '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497', 'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9']) {
    t.ok(body.includes(`chunk-signature=${signature}`), signature)
  }
  async function decode (text: string): Promise<number> {
    // Pieces of an odd size, so that lines and chunks are split everywhere.
    async function * pieces (): AsyncGenerator<Buffer> {
      for (let start = 0; start < text.length; start += 1013) yield Buffer.from(text.slice(start, start + 1013))
    }
    let sizeBytes = 0
    for await (const chunk of decodeChunks(pieces(), { isSigned: true, hasTrailer: false }, verified)) sizeBytes += chunk.length
    return sizeBytes
  }
  t.equal(await decode(body), 66_560)
  await t.rejects(decode(body.replace('aaa', 'aba')), { code: 'SignatureDoesNotMatch' })
  await t.rejects(decode(body.slice(0, -100)), { code: 'IncompleteBody' })
})

const s3 = await startEmbeddedTestS3(t)
const bucket = await s3.createBucket()
const now = new Date('2026-03-04T05:06:07Z')
s3.setNow(() => now)
const minutes = (count: number): Date => new Date(now.getTime() + count * 60_000)
const seconds = (count: number): Date => new Date(now.getTime() + count * 1000)

function put (sending: Sending = {}): WireRequest {
  return requestFor(s3, 'PUT', bucket, 'a b/ü.txt', { body: 'hello', ...sending, headers: { 'content-type': 'text/plain', ...sending.headers } })
}

function withHeaders (request: WireRequest, headers: Readonly<Record<string, string>>): WireRequest {
  return { ...request, headers: { ...request.headers, ...headers } }
}

function signed (request: WireRequest = put(), signing: Partial<Parameters<typeof signWithHeader>[2]> = {}, signer: Partial<Signer> = {}): WireRequest {
  return signWithHeader(request, { ...s3.credentials, ...signer }, { at: now, ...signing })
}

function presigned (request: WireRequest = put(), signing: Partial<Parameters<typeof signWithQuery>[2]> = {}, signer: Partial<Signer> = {}): WireRequest {
  return signWithQuery(request, { ...s3.credentials, ...signer }, { at: now, ...signing })
}

function editTarget (request: WireRequest, pattern: RegExp | string, replacement: string): WireRequest {
  const target = request.target.replace(pattern, replacement)
  if (target === request.target) throw new Error(`nothing to replace in ${target}`)
  return { ...request, target }
}

function editAuthorization (request: WireRequest, pattern: RegExp, replacement: string): WireRequest {
  const authorization = (request.headers['authorization'] ?? '').replace(pattern, replacement)
  if (authorization === request.headers['authorization']) throw new Error(`nothing to replace in ${authorization}`)
  return withHeaders(request, { authorization })
}

function without (request: WireRequest, name: string): WireRequest {
  return { ...request, headers: Object.fromEntries(Object.entries(request.headers).filter(([found]) => found !== name)) }
}

const otherBodyHash = sha256Hex('other')

const accepted: Array<[name: string, request: WireRequest]> = [
  ['a signed header', signed()],
  ['a clock 15 minutes behind', signed(put(), { at: minutes(-15) })],
  ['a clock 15 minutes ahead', signed(put(), { at: minutes(15) })],
  ['an unsigned payload', signed(put(), { payloadHash: 'UNSIGNED-PAYLOAD' })],
  ['a signed content-length', signed(withHeaders(put(), { 'content-length': '5' }), { signedHeaders: ['content-length', 'host', 'x-amz-content-sha256', 'x-amz-date'] })],
  ['a header value with runs of spaces', signed(put({ headers: { 'x-amz-meta-a': ' one   two ' } }))],
  ['a canned ACL that is signed', signed(put({ headers: { 'x-amz-acl': 'private' } }))],
  ['a presigned URL', presigned()],
  ['a presigned URL in its last second', presigned(put(), { at: seconds(-900) })],
  ['a presigned URL of seven days', presigned(put(), { expiresInSeconds: 604_800 })],
  ['a presigned URL of one second', presigned(put(), { expiresInSeconds: 1 })],
  ['a presigned URL signed 15 minutes ahead', presigned(put(), { at: minutes(15) })],
  ['a presigned URL with parameters of every kind of character', presigned(put({ query: 'x-id=a%20b%2Bc%2F~%25' }))],
  ['a presigned URL whose type is not signed', presigned(put(), { signedHeaders: ['host'] })]
]

t.test('a valid request is accepted:', async (t) => {
  for (const [name, request] of accepted) {
    t.test(name, async (t) => {
      const response = await send(s3.endpoint, request)
      t.equal(response.status, 200, response.body)
    })
  }
})

const refused: Array<[name: string, request: WireRequest, status: number, code: string, message?: RegExp]> = [
  ['no signature at all', put(), 403, 'AccessDenied'],
  ['an unknown access key', signed(put(), {}, { accessKeyId: 'AKIDNOBODY' }), 403, 'InvalidAccessKeyId'],
  ['another secret', signed(put(), {}, { secretAccessKey: 'other' }), 403, 'SignatureDoesNotMatch'],
  ['a clock 15 minutes and a second behind', signed(put(), { at: seconds(-901) }), 403, 'RequestTimeTooSkewed'],
  ['a clock 15 minutes and a second ahead', signed(put(), { at: seconds(901) }), 403, 'RequestTimeTooSkewed'],
  ['another region', signed(put(), {}, { region: 'eu-west-1' }), 400, 'AuthorizationHeaderMalformed', /expecting 'us-east-1'/],
  ['another service', signed(put(), {}, { service: 'sqs' }), 400, 'AuthorizationHeaderMalformed'],
  ['a scope of another day', editAuthorization(signed(), /\/20260304\//, '/20260303/'), 400, 'AuthorizationHeaderMalformed'],
  ['a header without its signature', editAuthorization(signed(), /,Signature=.*/, ''), 400, 'AuthorizationHeaderMalformed'],
  ['a scope without its ending', editAuthorization(signed(), /\/aws4_request/, '/aws3_request'), 400, 'AuthorizationHeaderMalformed'],
  ['an older mechanism', withHeaders(put(), { authorization: 'AWS AKID:c2lnbmF0dXJl' }), 400, 'InvalidRequest'],
  ['a header without x-amz-date', without(signed(), 'x-amz-date'), 403, 'AccessDenied'],
  ['a header without x-amz-content-sha256', without(signed(), 'x-amz-content-sha256'), 400, 'InvalidRequest'],
  ['another method', { ...signed(), method: 'DELETE' }, 403, 'SignatureDoesNotMatch'],
  ['another key', editTarget(signed(), '.txt', '.txd'), 403, 'SignatureDoesNotMatch'],
  ['an added parameter', { ...signed(), target: `${signed().target}?tagging=` }, 403, 'SignatureDoesNotMatch'],
  ['another type than the signed one', withHeaders(signed(), { 'content-type': 'text/html' }), 403, 'SignatureDoesNotMatch'],
  ['another length than the signed one', withHeaders({ ...signed(withHeaders(put(), { 'content-length': '5' }), { payloadHash: 'UNSIGNED-PAYLOAD', signedHeaders: ['content-length', 'host', 'x-amz-content-sha256', 'x-amz-date'] }), body: 'hello!' }, { 'content-length': '6' }), 403, 'SignatureDoesNotMatch'],
  ['a host that is not signed', signed(put(), { signedHeaders: ['x-amz-content-sha256', 'x-amz-date'] }), 403, 'AccessDenied', /not signed/],
  ['an x-amz-date that is not signed', signed(put(), { signedHeaders: ['host', 'x-amz-content-sha256'] }), 403, 'AccessDenied', /not signed/],
  ['an x-amz-acl that is not signed', withHeaders(signed(), { 'x-amz-acl': 'public-read' }), 403, 'AccessDenied', /not signed/],
  ['another body than the signed one', signed(put(), { payloadHash: otherBodyHash }), 400, 'XAmzContentSHA256Mismatch'],
  ['a payload hash that is none', signed(put(), { payloadHash: 'abc' }), 400, 'InvalidArgument'],
  ['an unknown kind of streaming', signed(put(), { payloadHash: 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD' }), 501, 'NotImplemented'],
  ['a security token nobody issued', signed(put({ headers: { 'x-amz-security-token': 'token' } })), 400, 'InvalidToken'],
  ['header and query together', withHeaders(presigned(), { authorization: 'AWS4-HMAC-SHA256 x' }), 400, 'InvalidArgument', /Only one auth mechanism/],
  ['a host name that is not loopback', withHeaders(signed(), { host: 'example.com' }), 403, 'AccessDenied', /loopback/],

  ['a URL a second past its life', presigned(put(), { at: seconds(-901) }), 403, 'AccessDenied', /Request has expired/],
  ['a URL that is not yet valid', presigned(put(), { at: seconds(901) }), 403, 'AccessDenied', /Request is not yet valid/],
  ['a URL of seven days and a second', presigned(put(), { expiresInSeconds: 604_801 }), 400, 'AuthorizationQueryParametersError'],
  ['a URL of no seconds', presigned(put(), { expiresInSeconds: 0 }), 400, 'AuthorizationQueryParametersError'],
  ['a URL of negative seconds', presigned(put(), { expiresInSeconds: -1 }), 400, 'AuthorizationQueryParametersError'],
  ['a URL whose life is no number', presigned(put(), { expiresInSeconds: '9e2' }), 400, 'AuthorizationQueryParametersError'],
  ['a URL whose life was raised', editTarget(presigned(), 'X-Amz-Expires=900', 'X-Amz-Expires=901'), 403, 'SignatureDoesNotMatch'],
  ['a URL whose date was moved', editTarget(presigned(), 'X-Amz-Date=20260304T050607Z', 'X-Amz-Date=20260304T050608Z'), 403, 'SignatureDoesNotMatch'],
  ['a URL whose date is malformed', editTarget(presigned(), 'X-Amz-Date=20260304T050607Z', 'X-Amz-Date=2026-03-04'), 400, 'AuthorizationQueryParametersError'],
  ['a URL with its life twice', { ...presigned(), target: `${presigned().target}&X-Amz-Expires=604800` }, 400, 'AuthorizationQueryParametersError'],
  ['a URL of another algorithm', editTarget(presigned(), 'AWS4-HMAC-SHA256', 'AWS4-HMAC-SHA1'), 400, 'AuthorizationQueryParametersError'],
  ['a URL without its credential', editTarget(presigned(), /X-Amz-Credential=[^&]*&/, ''), 400, 'AuthorizationQueryParametersError'],
  ['a URL without its signature', editTarget(presigned(), /&X-Amz-Signature=.*/, ''), 400, 'AuthorizationQueryParametersError'],
  ['a URL of another region', presigned(put(), {}, { region: 'eu-west-1' }), 400, 'AuthorizationQueryParametersError'],
  ['a URL of another day\'s key', editTarget(presigned(), '%2F20260304%2F', '%2F20260303%2F'), 400, 'AuthorizationQueryParametersError'],
  ['a URL of an unknown access key', presigned(put(), {}, { accessKeyId: 'AKIDNOBODY' }), 403, 'InvalidAccessKeyId'],
  ['a URL of another secret', presigned(put(), {}, { secretAccessKey: 'other' }), 403, 'SignatureDoesNotMatch'],
  ['a URL for another method', { ...without(presigned(), 'content-type'), method: 'GET' }, 403, 'SignatureDoesNotMatch'],
  ['a URL whose host is not signed', presigned(put(), { signedHeaders: ['content-type'] }), 403, 'AccessDenied', /not signed/],
  ['a URL with another type than the signed one (T15)', withHeaders(presigned(), { 'content-type': 'text/html' }), 403, 'SignatureDoesNotMatch'],
  ['a URL without the signed type (T15)', without(presigned(), 'content-type'), 403, 'SignatureDoesNotMatch'],
  ['a URL with one byte more than the signed length (T16)', { ...presigned(withHeaders(put(), { 'content-length': '5' })), body: 'hello!', headers: { ...put().headers, 'content-length': '6' } }, 403, 'SignatureDoesNotMatch'],
  ['a URL with one byte less than the signed length (T16)', { ...presigned(withHeaders(put(), { 'content-length': '5' })), body: 'hell', headers: { ...put().headers, 'content-length': '4' } }, 403, 'SignatureDoesNotMatch'],
  ['a URL whose length is signed, sent in chunks (T16)', { ...presigned(withHeaders(put(), { 'content-length': '5' })), headers: { ...put().headers, 'transfer-encoding': 'chunked' } }, 403, 'SignatureDoesNotMatch'],
  ['a URL sent in chunks (T16)', withHeaders(presigned(), { 'transfer-encoding': 'chunked' }), 411, 'MissingContentLength'],
  ['a URL with an unsigned x-amz-acl (T20)', withHeaders(presigned(), { 'x-amz-acl': 'public-read' }), 403, 'AccessDenied', /not signed/],
  ['a URL with an unsigned x-amz-copy-source (T20)', withHeaders(presigned(), { 'x-amz-copy-source': `/${bucket}/other` }), 403, 'AccessDenied', /not signed/],
  ['a URL with an unsigned x-amz-meta-a (T20)', withHeaders(presigned(), { 'x-amz-meta-a': 'b' }), 403, 'AccessDenied', /not signed/],
  ['a URL with response-content-type added (T21)', { ...presigned(), target: `${presigned().target}&response-content-type=text/html` }, 403, 'SignatureDoesNotMatch'],
  ['a URL of the older mechanism', { ...put(), target: `${put().target}?AWSAccessKeyId=a&Expires=1&Signature=b` }, 400, 'InvalidRequest']
]

t.test('a request with one fault is refused:', async (t) => {
  for (const [name, request, status, code, message] of refused) {
    t.test(name, async (t) => {
      const response = await send(s3.endpoint, request)
      t.equal(response.status, status)
      t.equal(response.code, code)
      if (message !== undefined) t.match(response.body, message)
      t.equal((await send(s3.endpoint, signed())).status, 200, 'the same request without the fault passes')
    })
  }
})

t.test('checksums and metadata in the query of a presigned URL count as headers', async (t) => {
  const response = await send(s3.endpoint, presign(s3, put({ query: 'x-amz-meta-color=red' }), { at: now }))
  t.equal(response.status, 200)
  const head = await send(s3.endpoint, signed(requestFor(s3, 'HEAD', bucket, 'a b/ü.txt')))
  t.equal(head.headers['x-amz-meta-color'], 'red')
  // The CRC-32 of no bytes, which SDKs put into URLs of bodies that they do not know.
  const empty = await send(s3.endpoint, presign(s3, put({ query: 'x-amz-checksum-crc32=AAAAAA%3D%3D' }), { at: now }))
  t.equal(empty.code, 'BadDigest')
})

t.test('a query that is signed in another order than it is sent in is accepted', async (t) => {
  const request = presigned(requestFor(s3, 'GET', bucket, '', { query: 'prefix=a&list-type=2&delimiter=%2F' }))
  const [path, query = ''] = request.target.split('?')
  const target = `${path}?${query.split('&').reverse().join('&')}`
  t.equal((await send(s3.endpoint, { ...request, target })).status, 200)
})

t.test('a virtual-hosted request signs the path without the bucket', async (t) => {
  const port = new URL(s3.endpoint).port
  const response = await send(s3.endpoint, signed({ ...put(), target: '/hosted.txt', headers: { host: `${bucket}.localhost:${port}`, 'content-type': 'text/plain' } }))
  t.equal(response.status, 200)
  t.equal((await send(s3.endpoint, signed(requestFor(s3, 'GET', bucket, 'hosted.txt')))).body, 'hello')
})

t.test('a body in signed chunks with a signed trailer is stored only if nothing was changed', async (t) => {
  const trailer = ['x-amz-checksum-crc32', 'NhCmhg=='] as const // CRC-32 of "hello"
  const headers = { 'content-encoding': 'aws-chunked', 'x-amz-decoded-content-length': '5', 'x-amz-trailer': trailer[0] }
  function chunked (key: string, change: (body: string) => string): WireRequest {
    const request = signed(requestFor(s3, 'PUT', bucket, key, { headers }), { payloadHash: 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER' })
    const seed = /Signature=(.*)$/.exec(request.headers['authorization'] ?? '')?.[1] ?? ''
    return { ...request, body: change(signChunks(['hel', 'lo'], s3.credentials, { at: now, seed, trailer })) }
  }
  const changes: Array<[name: string, change: (body: string) => string, code: string | undefined]> = [
    ['nothing', (body) => body, undefined],
    ['a byte', (body) => body.replace('hel', 'hal'), 'SignatureDoesNotMatch'],
    ['a chunk left out', (body) => body.replace(/2;chunk-signature=\w+\r\nlo\r\n/, ''), 'SignatureDoesNotMatch'],
    ['the trailer\'s value', (body) => body.replace('NhCmhg==', 'AAAAAA=='), 'SignatureDoesNotMatch'],
    ['the trailer\'s signature', (body) => body.replace(/x-amz-trailer-signature:\w+\r\n/, ''), 'SignatureDoesNotMatch'],
    ['a chunk without signature', (body) => body.replace(/;chunk-signature=\w+/, ''), 'SignatureDoesNotMatch']
  ]
  for (const [name, change, code] of changes) {
    t.test(`changed: ${name}`, async (t) => {
      const key = `chunked ${name}`
      const response = await send(s3.endpoint, chunked(key, change))
      t.equal(response.code, code)
      const head = await send(s3.endpoint, signed(requestFor(s3, 'GET', bucket, key)))
      t.equal(head.status, code === undefined ? 200 : 404)
      if (code === undefined) {
        t.equal(head.body, 'hello')
        t.equal(head.headers['content-encoding'], undefined)
      }
    })
  }
})

t.test('a client that stops sending stores nothing and reads IncompleteBody', async (t) => {
  const request = signed(requestFor(s3, 'PUT', bucket, 'short', { headers: { 'content-length': '10' } }), { payloadHash: 'UNSIGNED-PAYLOAD' })
  const lines = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')
  t.match(await sendText(s3.endpoint, `PUT ${request.target} HTTP/1.1\r\n${lines}\r\nhello`), /400 Bad Request[^]*<Code>IncompleteBody/)
  t.equal((await send(s3.endpoint, signed(requestFor(s3, 'GET', bucket, 'short')))).code, 'NoSuchKey')
})

t.test('the tests\' signer renders the canonical request of AWS\'s page', async (t) => {
  const request = { method: 'GET', target: '/?lifecycle', headers: exampleHost }
  t.equal(canonicalRequest(request, ['host'], 'UNSIGNED-PAYLOAD'), 'GET\n/\nlifecycle=\nhost:examplebucket.s3.amazonaws.com\n\nhost\nUNSIGNED-PAYLOAD')
})

t.test('temporary keys are good with their token alone', async t => {
  const s3 = await startEmbeddedTestS3(t, { sessionToken: 'session' })
  const bucket = await s3.createBucket()
  const { accessKeyId, secretAccessKey } = s3.credentials
  for (const [name, credentials, code] of [
    ['their own', s3.credentials, undefined],
    ['none', { accessKeyId, secretAccessKey }, 'InvalidAccessKeyId'],
    ['another', { accessKeyId, secretAccessKey, sessionToken: 'other' }, 'InvalidToken']
  ] as const) {
    const client = new S3Client({ endpoint: s3.endpoint, region: s3.region, credentials, forcePathStyle: true })
    t.teardown(() => client.destroy())
    const listed = await client.send(new ListObjectsV2Command({ Bucket: bucket })).then(() => undefined, (error: Error) => error.name)
    t.equal(listed, code, name)
  }
})
