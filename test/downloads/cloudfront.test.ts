import { PutObjectCommand } from '@aws-sdk/client-s3'
import t from 'tap'
import { loadConfig } from '../../src/config.js'
import { createCloudFrontPresign, type CloudFrontOptions } from '../../src/object-storage/cloudfront.js'
import { startDistribution } from '../helpers/cloudfront.js'
import { png, SVG } from '../helpers/samples.js'
import { send, type Presigned } from '../helpers/send.js'
import { startService } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'

const s3 = await startTestS3(t)
const otherBucket = await s3.createBucket()
const POLICIES = `
policies:
  pictures: { contentTypes: [image/png, image/svg+xml], maxSize: 1MiB, key: "pictures/{owner}/{fileId}{ext}", disposition: inline, presignedDelete: true }
  scanned: { contentTypes: [image/png], maxSize: 1MiB, key: "scanned/{fileId}", scan: { deadlineSeconds: 3600 } }
  elsewhere: { contentTypes: [image/png], maxSize: 1MiB, key: "elsewhere/{fileId}", bucket: other }
buckets:
  other: { bucket: ${otherBucket}, endpoint: "${s3.endpoint}", forcePathStyle: true }
`
let bucket = ''
const distribution = await startDistribution(t, s3, () => bucket)
let clock = (): Date => new Date()
const service = await startService(t, s3, { policies: POLICIES, env: distribution.env, adapt: services => ({ ...services, now: () => clock() }) })
bucket = service.bucket
const { call, token } = service
const ada = await token('ada')
const picture = png()

async function upload (policy: string, contentType = 'image/png', bytes: Uint8Array = picture): Promise<string> {
  const { file, upload } = (await call('POST', '/uploads', { token: ada, body: { policy, filename: 'a.png', contentType, sizeBytes: bytes.length } })).json()
  if (!upload.url.startsWith(s3.endpoint)) throw new Error('Uploads go to the store itself')
  await send(upload, bytes)
  const reply = await call('POST', `/uploads/${file.id}/complete`, { token: ada })
  if (reply.statusCode !== 200) throw new Error(reply.body)
  return file.id
}

interface Download extends Presigned { readonly expiresAt: string, readonly disposition: string }
async function ask (body: object, as = ada): Promise<Download> {
  const reply = await call('POST', '/downloads', { token: as, body })
  if (reply.statusCode !== 201) throw new Error(reply.body)
  return reply.json().download
}

const own = await upload('pictures')

t.test('a GET goes through the distribution, which finds the signature good and asks the bucket once', async t => {
  const download = await ask({ fileId: own })
  t.ok(download.url.startsWith(`${distribution.url}/pictures/ada/`))
  t.notMatch(download.url, /X-Amz-/)
  const before = distribution.originRequests()
  for (let time = 0; time < 2; time++) {
    const sent = await send(download)
    t.equal(sent.status, 200)
    t.strictSame(sent.body, picture)
    t.match(sent.headers, { 'content-type': 'image/png', 'content-disposition': 'inline; filename="a.png"', 'cache-control': 'private, max-age=900' })
  }
  t.equal(distribution.originRequests(), before + 1)
  t.equal((await call('GET', `/downloads/${own}`, { token: ada })).headers.location, download.url, 'redirects lead there, too')
})

t.test('T21: nothing in the URL can be changed', async t => {
  const download = await ask({ fileId: own })
  const change = (edit: (url: string) => string) => ({ ...download, url: edit(download.url) })
  for (const [name, changed] of [
    ['another key', change(url => url.replace('.png?', '.svg?'))],
    ['another type', change(url => url.replace('image%2Fpng', 'text%2Fhtml'))],
    ['another disposition', change(url => url.replace('=inline', '=attachment'))],
    ['one more override', change(url => url.replace('?', '?response-content-language=en&'))],
    ['no cache rule', change(url => url.replace(/&response-cache-control=[^&]*/, ''))],
    ['a longer life', change(url => url.replace(/Expires=(\d+)/, (_, end) => `Expires=${Number(end) + 1}`))],
    ['another key pair', change(url => url.replace('K2JCJMDEHXQW5F', 'K2JCJMDEHXQW5G'))],
    ['no signature', change(url => url.slice(0, url.indexOf('?')))]
  ] as const) {
    t.not(changed.url, download.url)
    t.equal((await send(changed)).status, 403, name)
  }
})

t.test('a URL is the same for a third of its life, and says when it ends', async t => {
  t.teardown(() => { clock = () => new Date() })
  const window = 300_000
  const begin = Math.floor(Date.now() / window) * window
  const askAt = async (time: number, body: object = {}): Promise<Download> => {
    clock = () => new Date(time)
    return await ask({ fileId: own, ...body })
  }
  const last = await askAt(begin - 1)
  t.equal((await askAt(begin - window)).url, last.url)
  t.equal(Date.parse(last.expiresAt), begin - window + 900_000)
  t.equal(Number(new URL(last.url).searchParams.get('Expires')) * 1000, Date.parse(last.expiresAt))
  t.not((await askAt(begin)).url, last.url)
  const short = await askAt(begin - 400, { expiresInSeconds: 60 })
  t.equal(Date.parse(short.expiresAt), begin - 1000 + 60_000, 'who asks for a life gets exactly that')
  const over = await askAt(Date.now() - 61_000, { expiresInSeconds: 60 })
  t.equal((await send(over)).status, 403, 'and no more')
})

t.test('T22: SVG is an attachment here, too, whatever is asked for', async t => {
  const svg = await upload('pictures', 'image/svg+xml', SVG)
  const download = await ask({ fileId: svg, disposition: 'inline' })
  t.equal(download.disposition, 'attachment')
  t.match((await send(download)).headers['content-disposition'], /^attachment;/)
})

const names: ReadonlyArray<[name: string, filename: string, shown: string]> = [
  ['a bidirectional mark', 'photo\u202Egnp.exe', 'photognp.exe'],
  ['a line break', 'a\r\nX: 1', 'aX: 1'],
  ['a Japanese name', '写真 (1)\'*+&=#?.png', '写真 (1)\'*+&=#?.png'],
  ['an encoded line break', 'a%0d%0ab.png', 'a%0d%0ab.png']
]
for (const [name, filename, shown] of names) {
  t.test(`T23: ${name} in a file name`, async t => {
    const header = String((await send(await ask({ fileId: own, filename }))).headers['content-disposition'])
    t.notMatch(header, /\p{Cc}/u)
    const extended = /filename\*=UTF-8''([^;]+)$/.exec(header)?.[1]
    t.equal(extended === undefined ? /filename="(.*)"$/.exec(header)?.[1] : decodeURIComponent(extended), shown)
  })
}

t.test('what the distribution must not see is signed for the store: HEAD, files that are scanned, other buckets, deletions', async t => {
  const scanner = await token('scanner', { scope: 'files:scan' })
  const scanning = await upload('scanned')
  const elsewhere = await upload('elsewhere')
  for (const [name, download] of [
    ['a HEAD, since a canned policy binds no method', await ask({ fileId: own, method: 'HEAD' })],
    ['a file that nobody has decided about', await ask({ fileId: scanning }, scanner)],
    ['a file of another bucket', await ask({ fileId: elsewhere })]
  ] as const) {
    t.ok(download.url.startsWith(s3.endpoint), name)
    t.equal((await send(download)).status, 200, name)
  }
  const gone = await upload('pictures')
  const { deletion } = (await call('POST', '/deletions', { token: ada, body: { fileId: gone } })).json()
  t.ok(deletion.url.startsWith(s3.endpoint), 'a deletion')
})

for (const type of ['rsa', 'ec'] as const) {
  t.test(`keys of every character survive the signature of ${type}`, async t => {
    const edge = await startDistribution(t, s3, () => bucket, type)
    const { cloudFront } = loadConfig({ S3_BUCKET: 'b', JWT_SECRET: 'x'.repeat(32), JWT_AUDIENCE: 'app', ...edge.env })
    const presign = await createCloudFrontPresign(cloudFront as CloudFrontOptions)
    for (const key of ['a b', 'ü', 'a+b', "!*'()~", 'a&b=c', '%2f', 'a;b,c', '日本/写真 1+1.png', 'a:b@c', 'a?b#c', 'a//b']) {
      await s3.client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: key }))
      const sent = await send(presign({ bucket, key, method: 'GET', contentType: 'text/plain', contentDisposition: 'attachment', signedAt: new Date(), expiresInSeconds: 60 }))
      t.equal(sent.body.toString(), key)
    }
  })
}
