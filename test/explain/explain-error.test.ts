import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { CreateMultipartUploadCommand, PutBucketCorsCommand } from '@aws-sdk/client-s3'
import { builtCli } from '../helpers/process.js'
import t, { type Test } from 'tap'
import { freePort } from '../helpers/free-port.js'
import { explainError } from '../../src/explain/explain-error.js'
import { createS3ObjectStorage } from '../../src/object-storage/s3.js'
import { makeTemporaryFolder, startEmbeddedTestS3, startTestS3, type TestS3 } from '../helpers/s3.js'
import { png } from '../helpers/samples.js'
import { signWithHeader, type Signer } from '../helpers/sigv4.js'
import { startService } from '../helpers/service.js'

// Each error is made by a real store: the embedded one, or the server of TEST_S3_ENDPOINT where that says the same.
const s3 = await startTestS3(t)
const embedded = s3.kind === 'embedded' ? s3 as Awaited<ReturnType<typeof startEmbeddedTestS3>> : await startEmbeddedTestS3(t)
const folder = await makeTemporaryFolder(t)
const picture = join(folder, 'a.png')
await writeFile(picture, png())
await writeFile(join(folder, 'larger.png'), Buffer.concat([png(), Buffer.from('more')]))
await writeFile(join(folder, 'other.png'), png(2))
const SECRET_ACCESS_KEY = s3.credentials.secretAccessKey

/** What `curl -v` prints: what was sent, what came back, and the document. */
async function curl (...args: string[]): Promise<string> {
  return await promisify(execFile)('curl', ['-v', '-sS', '--max-time', '20', ...args]).then(
    ({ stdout, stderr }) => `${stderr}\n${stdout}`,
    ({ stdout, stderr }: { stdout: string, stderr: string }) => `${stderr}\n${stdout}`
  )
}

interface Instructions { readonly url: string, readonly headers: Readonly<Record<string, string>>, readonly fields: Readonly<Record<string, string>> }
interface Place { readonly store: TestS3, readonly bucket: string, presign (method: 'PUT' | 'POST' | 'GET', options?: { sizeBytes?: number, checksum?: string, minSizeBytes?: number }): Promise<Instructions> }

/** A bucket, and URLs for it as the service signs them. */
async function setPlace (store: TestS3, { credentials = store.credentials, region = store.region, bucket }: { credentials?: TestS3['credentials'] & { sessionToken?: string }, region?: string, bucket?: string } = {}): Promise<Place> {
  const own = bucket ?? await store.createBucket()
  let counter = 0
  return {
    store,
    bucket: own,
    async presign (method, { sizeBytes = png().length, checksum, minSizeBytes = sizeBytes } = {}) {
      process.env['AWS_ACCESS_KEY_ID'] = credentials.accessKeyId
      process.env['AWS_SECRET_ACCESS_KEY'] = credentials.secretAccessKey
      const storage = createS3ObjectStorage({ region, endpoint: store.endpoint, forcePathStyle: true })
      const common = { bucket: own, key: `k/${counter += 1}`, contentType: 'image/png', checksum: checksum === undefined ? null : { algorithm: 'SHA256' as const, value: checksum }, signedAt: new Date(), expiresInSeconds: 600 }
      const presigned = method === 'PUT'
        ? await storage.presignPut({ ...common, sizeBytes })
        : method === 'GET' ? await storage.presignGet({ ...common, method, contentDisposition: 'inline' }) : await storage.presignPost({ ...common, minSizeBytes, maxSizeBytes: sizeBytes })
      storage.close()
      return { headers: {}, fields: {}, ...presigned }
    }
  }
}

const here = await setPlace(s3)
const there = s3.kind === 'embedded' ? here : await setPlace(embedded)

function put ({ url, headers }: Instructions, { file = 'a.png', changed = {} }: { file?: string, changed?: Readonly<Record<string, string>> } = {}): string[] {
  const lines = Object.entries({ ...headers, ...changed }).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  return ['-X', 'PUT', '--data-binary', `@${join(folder, file)}`, ...lines, url]
}

function post ({ url, fields }: Instructions, { file = 'a.png', changed = {}, isFileLeftOut = false }: { file?: string, changed?: Readonly<Record<string, string>>, isFileLeftOut?: boolean } = {}): string[] {
  return [...Object.entries({ ...fields, ...changed }).flatMap(([name, value]) => ['--form-string', `${name}=${value}`]), ...(isFileLeftOut ? [] : ['-F', `file=@${join(folder, file)}`]), url]
}

/** Nothing of the text that a stranger could use. */
function holdsNoSecret (t: Test, said: string, evidence: string): void {
  const secrets = [...evidence.matchAll(/X-Amz-(?:Signature|Security-Token|Credential)=([^&\s]+)/gi), ...evidence.matchAll(/(?:Signature|Credential)=([^,\s&]+)/g), ...evidence.matchAll(/Bearer (\S+)/g)].map(([, secret = '']) => secret)
  for (const secret of [SECRET_ACCESS_KEY, embedded.credentials.secretAccessKey, embedded.credentials.accessKeyId, ...secrets]) t.notOk(said.includes(secret), 'no secret is printed')
}

const rows: ReadonlyArray<readonly [name: string, evidence: () => Promise<string>, said: RegExp]> = [
  ['a header that is signed and not sent', async () => {
    const { url, headers: { 'if-none-match': _, ...headers } } = await here.presign('PUT')
    return await curl(...put({ url, headers, fields: {} }))
  }, /^The header if-none-match is signed and was not sent: send exactly the headers of the reply/],
  ['another content type than was signed', async () => await curl(...put(await there.presign('PUT'), { changed: { 'content-type': 'image/jpeg' } })),
    /value is not the one that was signed: content-length \(\d+\), content-type \(image\/jpeg\), if-none-match \(\*\)/],
  ['another length than was signed', async () => await curl(...put(await there.presign('PUT'), { file: 'larger.png' })),
    new RegExp(`value is not the one that was signed: content-length \\(${png().length + 4}\\)`)],
  ['another method than was signed', async () => await curl(...put(await here.presign('PUT')).map(arg => arg === 'PUT' ? 'POST' : arg)), /^The URL is for PUT, and POST was sent: the method is signed, too\.$/],
  ['another host than was signed', async () => {
    const { url } = await here.presign('GET')
    return `curl -v '${url}'\n${await curl('-H', 'host: localhost', url)}`
  }, /^The URL is for the host 127\.0\.0\.1:\d+, and the request went to localhost: the host is signed, too\.$/],
  ['a URL whose path was changed', async () => await curl((await there.presign('GET')).url.replace('/k/', '/other/')), /^The path or the query of the URL was changed on its way/],
  ['a URL that a shell has cut', async () => await curl((await here.presign('GET')).url.replace(/&X-Amz-Signature.*/, '').replace(/&X-Amz-SignedHeaders.*/, '')), /^The URL was cut or changed on its way: its signature is not whole/],
  ['a body in chunks', async () => await curl('-H', 'transfer-encoding: chunked', ...put(await there.presign('PUT'))),
    /^The body was sent in chunks, and its length is signed/],
  ['a secret that is not the key\'s', async () => {
    const place = await setPlace(there.store, { bucket: there.bucket, credentials: { ...there.store.credentials, secretAccessKey: 'another' } })
    return await curl(...put(await place.presign('PUT')))
  }, / If nothing is different, AWS_SECRET_ACCESS_KEY is not the secret of this access key\.$/],
  ['a URL that has expired', async () => {
    const presigned = await there.presign('PUT')
    embedded.setNow(() => new Date(Date.now() + 3600_000))
    return await curl(...put(presigned)).finally(() => embedded.setNow(() => new Date()))
  }, /^The URL has expired: it was good until 20\d\d-.*Z\. Begin to send before expiresAt: GET \/uploads\/\{id\} gives fresh instructions/],
  ['a URL of a clock that is ahead', async () => {
    const presigned = await there.presign('PUT')
    embedded.setNow(() => new Date(Date.now() - 3600_000))
    return await curl(...put(presigned)).finally(() => embedded.setNow(() => new Date()))
  }, /^The URL is not valid yet: the clock of the service is ahead/],
  ['a clock that is wrong', async () => await curlSigned(s3, there.bucket, { at: new Date(Date.now() - 3600_000) }), /^The clock of whoever signed is (60 minutes behind|not) that of the store: set it by NTP\.$/],
  ['a header that is not signed', async () => await curl(...put(await there.presign('PUT'), { changed: { 'x-amz-acl': 'public-read' } })), /^A header was sent that is not signed, x-amz-acl: send exactly the headers of the reply/],
  ['a token beside the signature', async () => await curl('-H', 'authorization: Bearer a.b.c', ...put(await here.presign('PUT'))), /^A token was sent to the store with the presigned URL/],
  ['an object that is there', async () => {
    const presigned = await here.presign('PUT')
    await curl(...put(presigned))
    return await curl(...put(presigned))
  }, /^The object is there already: an earlier try has arrived\. Go on with POST \/uploads\/\{id\}\/complete\.$/],
  ['bytes of another checksum', async () => {
    return await curl(...put(await there.presign('PUT', { checksum: 'LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=' })))
  }, /^The bytes that came are not those whose checksum was promised/],
  ['a form with a file that is too large', async () => await curl(...post(await here.presign('POST'), { file: 'larger.png' })), /^The file is larger than was asked for/],
  ['a form with a file that is too small', async () => await curl(...post(await here.presign('POST', { sizeBytes: 2000, minSizeBytes: 1999 }))), /^The file is smaller than was asked for/],
  ['a form with another content type', async () => await curl(...post(await there.presign('POST'), { changed: { 'content-type': 'text/html' } })),
    /^The form does not fit its policy: the field content-type, which must be image\/png/],
  ['a form with one more field', async () => await curl(...post(await there.presign('POST'), { changed: { 'x-amz-meta-a': 'b' } })), /^The form has a field that was not signed, x-amz-meta-a: send the fields/],
  ['a form that has expired', async () => {
    const presigned = await there.presign('POST')
    embedded.setNow(() => new Date(Date.now() + 3600_000))
    return await curl(...post(presigned)).finally(() => embedded.setNow(() => new Date()))
  }, /^The form has expired: /],
  ['a form without a file', async () => await curl(...post(await there.presign('POST'), { isFileLeftOut: true })), /^The form is not as the store wants it/],
  ['another region', async () => {
    const place = await setPlace(there.store, { bucket: there.bucket, region: 'eu-west-1' })
    return await curl(...put(await place.presign('PUT')))
  }, /^The bucket is in the region us-east-1, and eu-west-1 was signed: set S3_REGION=us-east-1/],
  ['a bucket that there is not', async () => await curl(...put(await (await setPlace(s3, { bucket: 'there-is-none' })).presign('PUT'))), /^There is no bucket "there-is-none" at .*: create it, or correct S3_BUCKET, S3_ENDPOINT, or S3_FORCE_PATH_STYLE/],
  ['an object that there is not', async () => await curl((await here.presign('GET')).url), /^There is no object at this key/],
  ['an access key that the store does not know', async () => {
    const place = await setPlace(s3, { bucket: here.bucket, credentials: { accessKeyId: 'AKIDOFANOTHERSTORE', secretAccessKey: SECRET_ACCESS_KEY } })
    return await curl(...put(await place.presign('PUT')))
  }, /^The store does not know the access key that signed/],
  ['a part of a multipart upload that is over', async () => {
    const { UploadId } = await s3.client.send(new CreateMultipartUploadCommand({ Bucket: here.bucket, Key: 'parts' }))
    return await curlSigned(s3, here.bucket, { method: 'PUT', target: `/${here.bucket}/parts?partNumber=1&uploadId=${UploadId}x` })
  }, /^The multipart upload is completed or given up/],
  ['a preflight that the bucket refuses', async () => {
    await embedded.client.send(new PutBucketCorsCommand({ Bucket: there.bucket, CORSConfiguration: { CORSRules: [{ AllowedOrigins: ['https://app.example.com'], AllowedMethods: ['GET'], AllowedHeaders: [] }] } }))
    const { url } = await there.presign('PUT')
    return await curl('-X', 'OPTIONS', '-H', 'origin: https://www.example.com', '-H', 'access-control-request-method: PUT', '-H', 'access-control-request-headers: content-type', url)
  }, /^The CORS rules of the bucket do not let the origin https:\/\/www\.example\.com send PUT with content-type: allow/],
  ['a host that there is not', async () => await curl('http://there-is-none.invalid/b/k'), /^There is no host there-is-none\.invalid: S3_PUBLIC_ENDPOINT, or else S3_ENDPOINT/],
  ['a port where nobody answers', async () => await curl(`http://127.0.0.1:${await freePort()}/b/k`), /^Nobody answers at this address/]
]

for (const [name, provoke, said] of rows) {
  t.test(name, async t => {
    const evidence = await provoke()
    const found = explainError(evidence) ?? ''
    if (!t.match(found, said)) t.comment(evidence)
    t.notMatch(found, '\n', 'in one line')
    holdsNoSecret(t, found, evidence)
  })
}

t.test('the document of the store is enough, where it tells', async t => {
  const documentOf = (evidence: string): string => evidence.slice(evidence.indexOf('<?xml'))
  const withoutHeader = await there.presign('PUT')
  const { 'if-none-match': _, ...headers } = withoutHeader.headers
  t.match(explainError(documentOf(await curl(...put({ ...withoutHeader, headers })))), 'The header if-none-match is signed and was not sent')
  t.match(explainError(documentOf(await curl('-X', 'DELETE', withoutHeader.url))), /^The URL is for PUT, and DELETE was sent/)
})

t.test('with the secret of the service, a wrong secret is told from a changed request', async t => {
  const { secretAccessKey } = there.store.credentials
  const place = await setPlace(there.store, { bucket: there.bucket, credentials: { ...there.store.credentials, secretAccessKey: 'another' } })
  t.equal(explainError(await curl(...put(await place.presign('PUT'))), 'another'), 'The request is as it was signed, and the store knows another secret for this access key: correct AWS_SECRET_ACCESS_KEY.')
  const changed = await curl(...put(await there.presign('PUT'), { changed: { 'content-type': 'image/jpeg' } }))
  t.match(explainError(changed, secretAccessKey), 'content-type (image/jpeg)')
  t.notMatch(explainError(changed, secretAccessKey), 'AWS_SECRET_ACCESS_KEY')
})

t.test('a URL with the headers that were sent is enough, when the store has said no more than a status', async t => {
  const { url } = await here.presign('PUT')
  const request = `${url}\ncontent-type: image/png\ncontent-length: 4\n\nHTTP/1.1 403 Forbidden\n`
  t.match(explainError(request), 'The header if-none-match is signed and was not sent')
  t.match(explainError(`curl -X PUT -H 'content-type: image/png' -H 'content-length: 4' '${url}'\n<Error><Code>SignatureDoesNotMatch</Code></Error>`), 'The header if-none-match is signed and was not sent')
  t.match(explainError(`${request}date: ${new Date(Date.now() + 3600_000).toUTCString()}\n`), 'The URL has expired')
})

t.test('a proxy that changes a signed header is found by what it was sent as', async t => {
  const { url } = await there.presign('PUT')
  const evidence = await curl(...put({ url, headers: { 'content-type': 'image/png', 'if-none-match': '*' }, fields: {} }, { file: 'larger.png' }))
  t.match(explainError(evidence.replace('> Content-Length: ', '> Content-Length: 1').replace('> content-length: ', '> content-length: 1')), /^The header content-length was sent as 1\d+, and the store got \d+: a proxy in between changes it\.$/)
})

t.test('what no store here says is known, too', async t => {
  const rows: ReadonlyArray<[text: string, said: RegExp]> = [
    ['<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message><Token-0>FwoGZXIvYXdzEXAMPLE</Token-0></Error>', /^The temporary credentials that signed have expired/],
    ['< HTTP/1.1 301 Moved\n< x-amz-bucket-region: eu-central-1\n<Error><Code>PermanentRedirect</Code><Endpoint>b.s3.eu-central-1.amazonaws.com</Endpoint></Error>', /at b\.s3\.eu-central-1\.amazonaws\.com: set S3_REGION=eu-central-1/],
    ['<Error><Code>AccessDenied</Code><Message>User is not authorized</Message></Error>', /^The credentials that signed may not do this/],
    ['<Error><Code>SlowDown</Code></Error>', /Try again after a moment/],
    ['Access to XMLHttpRequest at \'https://b.s3.amazonaws.com/k\' from origin \'https://app.example.com\' has been blocked by CORS policy: Response to preflight request doesn\'t pass', /do not let the origin https:\/\/app\.example\.com in/],
    ['<Error><Code>NewlyMade</Code><Message>See https://x.example/?X-Amz-Signature=abc or key AKIAIOSFODNN7EXAMPLE0</Message></Error>', /^The store answered NewlyMade: See … or key …$/]
  ]
  for (const [text, said] of rows) t.match(explainError(text), said)
  t.equal(explainError('nothing of the kind'), null)
  t.equal(explainError(''), null)
})

t.test('an answer of the service says what it is', async t => {
  const service = await startService(t, s3)
  const refused = await service.call('POST', '/uploads', { token: await service.token('ada'), body: { policy: 'none', filename: 'a', contentType: 'a/b', sizeBytes: 1 } })
  t.match(explainError(refused.body), /^This is an answer of the service, POLICY_NOT_FOUND: There is no policy "none"/)
})

t.test('presignd explain error reads a file or what is piped in, and says with its exit code whether it knows', async t => {
  const file = join(folder, 'error.txt')
  await writeFile(file, await curl((await here.presign('GET')).url))
  const run = async (args: string[], input = ''): Promise<[code: number, out: string]> => {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', builtCli(), 'explain', 'error', ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
    child.stdin.end(input)
    const [out, [code]] = await Promise.all([text(child.stdout), once(child, 'close')])
    return [code, out]
  }
  const [code, out] = await run([file])
  t.equal(code, 0)
  t.match(out, /^There is no object at this key.*\n$/)
  t.same(await run([], '<Error><Code>NoSuchKey</Code></Error>'), [0, out])
  t.match(await run([], 'what?'), [1, /^This says nothing that is known here/])
})

/** A request with its signature in a header, as the service itself sends it. */
async function curlSigned (store: TestS3, bucket: string, { at = new Date(), method = 'GET', target = `/${bucket}/k` }: { at?: Date, method?: string, target?: string } = {}): Promise<string> {
  const signer: Signer = store.credentials
  const { headers } = signWithHeader({ method, target, headers: { host: new URL(store.endpoint).host } }, signer, { at })
  return await curl('-X', method, ...(method === 'PUT' ? ['--data-binary', ''] : []), ...Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]), `${store.endpoint}${target}`)
}
