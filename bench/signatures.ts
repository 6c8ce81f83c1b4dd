import { PutObjectCommand, S3Client, UploadPartCommand } from '@aws-sdk/client-s3'
import { createPresignedPost } from '@aws-sdk/s3-presigned-post'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { createS3ObjectStorage } from '../src/object-storage/s3.js'
import { checkForm, checkUrl } from './check-signatures.js'
import { ACCESS_KEY_ID, SECRET_ACCESS_KEY } from './credentials.js'
import { createHandSigner } from './hand-signer.js'
import type { SignatureRound, SignatureSide } from './measure-signatures.js'

/**
 * All sign in this one process, by turns: the port that the service signs by, the AWS SDK with one client, and what is written by hand
 * for nothing else, set up to bind the same. Prints one line of JSON per round.
 */
const [rounds, batchUs] = process.argv.slice(2).map(Number) as [number, number]
const credentials = { accessKeyId: ACCESS_KEY_ID, secretAccessKey: SECRET_ACCESS_KEY }
const region = 'eu-central-1'
const port = createS3ObjectStorage({ region, forcePathStyle: false, credentials })
const client = new S3Client({ region, credentials, requestChecksumCalculation: 'WHEN_REQUIRED' })
const byHand = createHandSigner(ACCESS_KEY_ID, SECRET_ACCESS_KEY, region)

const bucket = 'bench-uploads'
const host = `${bucket}.s3.${region}.amazonaws.com`
const contentType = 'image/png'
const sizeBytes = 482_133
const expiresInSeconds = 900
const PARTS_PER_CALL = 100
const BOUND = new Set(['host', 'content-type', 'content-length', 'if-none-match'])
const BOUND_OF_PART = new Set(['host', 'content-length'])

let count = 0
/** Never the same twice, as in the service. */
const nextKey = (): string => `pictures/ada/00000000-0000-4000-8000-${String(++count).padStart(12, '0')}.png`

async function signPut (): Promise<void> {
  const { url, headers } = await port.presignPut({ bucket, key: nextKey(), contentType, sizeBytes, checksum: null, signedAt: new Date(), expiresInSeconds })
  sample('PUT', () => checkUrl(url, { ...headers, 'content-length': String(sizeBytes) }))
}

async function signPutBySdk (): Promise<void> {
  const command = new PutObjectCommand({ Bucket: bucket, Key: nextKey(), ContentType: contentType, ContentLength: sizeBytes, IfNoneMatch: '*' })
  const url = await getSignedUrl(client, command, { expiresIn: expiresInSeconds, signableHeaders: BOUND })
  sample('PUT by the SDK', () => checkUrl(url, { 'content-type': contentType, 'content-length': String(sizeBytes), 'if-none-match': '*' }))
}

async function signPutByHand (): Promise<void> {
  const headers = { 'content-length': String(sizeBytes), 'content-type': contentType, host, 'if-none-match': '*' }
  const url = byHand.signPut(`/${nextKey()}`, '', headers)
  sample('PUT by hand', () => checkUrl(url, headers))
}

async function signParts (): Promise<void> {
  const parts = Array.from({ length: PARTS_PER_CALL }, (_, index) => ({ partNumber: index + 1, sizeBytes, sha256: null }))
  const signed = await port.presignParts({ bucket, key: nextKey(), multipartUploadId: 'an-upload', parts, signedAt: new Date(), expiresInSeconds })
  sample('part', () => { for (const { url, headers } of signed.parts) checkUrl(url, { ...headers, 'content-length': String(sizeBytes) }) })
}

async function signPartBySdk (): Promise<void> {
  const command = new UploadPartCommand({ Bucket: bucket, Key: nextKey(), UploadId: 'an-upload', PartNumber: count % 10_000 + 1, ContentLength: sizeBytes })
  const url = await getSignedUrl(client, command, { expiresIn: expiresInSeconds, signableHeaders: BOUND_OF_PART })
  sample('part by the SDK', () => checkUrl(url, { 'content-length': String(sizeBytes) }))
}

async function signPartByHand (): Promise<void> {
  const headers = { 'content-length': String(sizeBytes), host }
  const url = byHand.signPut(`/${nextKey()}`, `&partNumber=${count % 10_000 + 1}&uploadId=an-upload`, headers)
  sample('part by hand', () => checkUrl(url, headers))
}

async function signForm (): Promise<void> {
  const { fields } = await port.presignPost({ bucket, key: nextKey(), contentType, minSizeBytes: 1, maxSizeBytes: sizeBytes, checksum: null, signedAt: new Date(), expiresInSeconds })
  sample('form', () => checkForm(fields))
}

async function signFormBySdk (): Promise<void> {
  const { fields } = await createPresignedPost(client, {
    Bucket: bucket, Key: nextKey(), Expires: expiresInSeconds, Fields: { 'content-type': contentType, success_action_status: '201' }, Conditions: [['content-length-range', 1, sizeBytes]]
  })
  sample('form by the SDK', () => checkForm(fields))
}

async function signFormByHand (): Promise<void> {
  const fields = byHand.signForm(bucket, nextKey(), contentType, sizeBytes)
  sample('form by hand', () => checkForm(fields))
}

let checked = 0
const due = new Set<string>()
/** Checks the first of each batch; its cost is not measured, since a batch begins after it. */
function sample (name: string, check: () => void): void {
  if (!due.delete(name)) return
  check()
  checked += 1
}

interface Case { readonly name: string, readonly sign: () => Promise<void>, readonly side: SignatureSide, readonly kind: keyof SignatureRound['us'], readonly perCall: number, readonly calls: number }
const CASES: readonly Case[] = [
  { name: 'PUT', kind: 'put', side: 'port', sign: signPut, perCall: 1, calls: 50 },
  { name: 'PUT by the SDK', kind: 'put', side: 'sdk', sign: signPutBySdk, perCall: 1, calls: 5 },
  { name: 'PUT by hand', kind: 'put', side: 'hand', sign: signPutByHand, perCall: 1, calls: 50 },
  { name: 'part', kind: 'part', side: 'port', sign: signParts, perCall: PARTS_PER_CALL, calls: 1 },
  { name: 'part by the SDK', kind: 'part', side: 'sdk', sign: signPartBySdk, perCall: 1, calls: 5 },
  { name: 'part by hand', kind: 'part', side: 'hand', sign: signPartByHand, perCall: 1, calls: 50 },
  { name: 'form', kind: 'form', side: 'port', sign: signForm, perCall: 1, calls: 50 },
  { name: 'form by the SDK', kind: 'form', side: 'sdk', sign: signFormBySdk, perCall: 1, calls: 20 },
  { name: 'form by hand', kind: 'form', side: 'hand', sign: signFormByHand, perCall: 1, calls: 50 }
]

/** Processor time of one signature in microseconds, all threads, garbage collection included. */
async function measure ({ name, sign, perCall, calls }: Case): Promise<number> {
  due.add(name)
  await sign()
  const before = process.cpuUsage()
  let used = 0
  let signatures = 0
  while (used < batchUs) {
    for (let call = 0; call < calls; call++) await sign()
    signatures += calls * perCall
    const { user, system } = process.cpuUsage(before)
    used = user + system
  }
  return used / signatures
}

for (const one of CASES) await measure(one)
for (let round = 0; round < rounds; round++) {
  const us: SignatureRound['us'] = { put: { port: 0, sdk: 0, hand: 0 }, part: { port: 0, sdk: 0, hand: 0 }, form: { port: 0, sdk: 0, hand: 0 } }
  for (let turn = 0; turn < CASES.length; turn++) {
    const one = CASES[(round + turn) % CASES.length] as Case
    us[one.kind][one.side] = await measure(one)
  }
  process.stdout.write(`${JSON.stringify({ us, checked } satisfies SignatureRound)}\n`)
}
