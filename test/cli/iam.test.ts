import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { runCli } from '../helpers/process.js'
import { AUDIENCE, SECRET } from '../helpers/service.js'

/** Which permission each call of the API needs: https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html */
const NEEDED: Readonly<Record<string, string>> = {
  AbortMultipartUpload: 's3:AbortMultipartUpload',
  CompleteMultipartUpload: 's3:PutObject',
  CopyObject: 's3:PutObject',
  CreateMultipartUpload: 's3:PutObject',
  DeleteObject: 's3:DeleteObject',
  GetBucketCors: 's3:GetBucketCORS',
  GetBucketLifecycleConfiguration: 's3:GetLifecycleConfiguration',
  GetObject: 's3:GetObject',
  GetPublicAccessBlock: 's3:GetBucketPublicAccessBlock',
  HeadBucket: 's3:ListBucket',
  HeadObject: 's3:GetObject',
  ListMultipartUploads: 's3:ListBucketMultipartUploads',
  ListObjectsV2: 's3:ListBucket',
  ListParts: 's3:ListMultipartUploadParts',
  PutBucketCors: 's3:PutBucketCORS',
  PutBucketLifecycleConfiguration: 's3:PutLifecycleConfiguration'
}

const BY_METHOD: Readonly<Record<string, string>> = {
  abortMultipartUpload: 's3:AbortMultipartUpload',
  deleteObject: 's3:DeleteObject',
  headObject: 's3:GetObject',
  listMultipartUploads: 's3:ListBucketMultipartUploads',
  listObjects: 's3:ListBucket'
}

const POLICIES = `buckets:
  archive: { bucket: cold-storage }
policies:
  pictures: { contentTypes: [image/png], maxSize: 1000, key: "pictures/{owner}/{fileId}", uploadUrlTtlSeconds: 120, downloadUrlTtlSeconds: 60 }
  small: { contentTypes: [image/png], maxSize: 1000, key: "pictures/small/{fileId}", downloadUrlTtlSeconds: 3600 }
  archive: { contentTypes: [image/png], maxSize: 1000, key: "{tenant}/{fileId}", bucket: archive }
`

t.test('presignd iam', async t => {
  const folder = t.testdir({ 'policies.yaml': POLICIES })
  const running = runCli(t, ['iam'], { S3_BUCKET: 'uploads', POLICIES_FILE: join(folder, 'policies.yaml'), JWT_SECRET: SECRET, JWT_AUDIENCE: AUDIENCE })
  t.equal(await running.ended, 0, running.stderr())
  const { service, reconcile, doctor, buckets } = JSON.parse(running.stdout())
  const [objects, whole] = service.Statement

  /** What the source asks stores for. */
  const neededBy = (t: Test, isWanted: (name: string) => boolean): string[] => {
    const sources = readdirSync('src/object-storage').filter(isWanted).map(name => readFileSync(`src/object-storage/${name}`, 'utf8'))
    const calls = new Set(sources.flatMap(text => [...text.matchAll(/new (\w+)Command\(/g)].map(([, name = '']) => name)))
    for (const call of calls) t.ok(NEEDED[call], `${call} is in the table`)
    return [...new Set([...calls].map(call => NEEDED[call] ?? ''))].sort()
  }

  t.test('allows what the service and the doctor ask stores for, and nothing else', async t => {
    const SETTINGS = 'bucket-settings.ts'
    t.strictSame([...objects.Action, ...whole.Action].sort(), neededBy(t, name => name !== SETTINGS))
    const own = new Set([...objects.Action, ...whole.Action])
    t.strictSame(doctor.Statement[0].Action.sort(), neededBy(t, name => name === SETTINGS).filter(action => !own.has(action)), 'besides')
    t.ok([...service.Statement, ...doctor.Statement].every((statement: { Effect: string }) => statement.Effect === 'Allow'))
  })

  t.test('allows reconcile what it asks stores for, and not to write', async t => {
    const sources = readdirSync('src/jobs').filter(name => name.startsWith('reconcile')).map(name => readFileSync(`src/jobs/${name}`, 'utf8')).join('')
    const methods = new Set([...sources.matchAll(/objectStorage\.(\w+)\(/g)].map(([, name = '']) => name))
    const needed = [...methods].map(method => BY_METHOD[method] ?? `nothing known of ${method}`)
    const [{ Action, Resource }, whole] = reconcile.Statement
    t.strictSame([...Action, ...whole.Action].sort(), needed.sort())
    t.strictSame(Resource, objects.Resource)
  })

  t.test('reaches the keys of the policies and what is not verified yet, each prefix once', async t => {
    t.strictSame(objects.Resource.sort(), ['arn:aws:s3:::cold-storage/*', 'arn:aws:s3:::uploads/pictures/*', 'arn:aws:s3:::uploads/staging/*'])
    t.strictSame(whole.Resource.sort(), ['arn:aws:s3:::cold-storage', 'arn:aws:s3:::uploads'])
  })

  t.test('has each bucket refuse URLs older than any that is handed out, and headers that they do not bind', async t => {
    const age = (bucket: string) => buckets[bucket].Statement.find((statement: { Sid: string }) => statement.Sid === 'NoOldUrls').Condition.NumericGreaterThan['s3:signatureAge']
    t.equal(age('uploads'), '3600000', 'the longest of its policies, in milliseconds')
    t.equal(age('cold-storage'), '900000', 'the default')
    for (const bucket of ['uploads', 'cold-storage']) {
      t.ok(buckets[bucket].Statement.every((statement: { Effect: string, Resource: string[] }) => statement.Effect === 'Deny' && statement.Resource.every(resource => resource.startsWith(`arn:aws:s3:::${bucket}`))))
      t.match(JSON.stringify(buckets[bucket]), /"aws:SecureTransport":"false".*s3:x-amz-acl.*s3:x-amz-copy-source/)
    }
  })

  t.test('holds no secret and needs no credentials', async t => { t.notOk(running.stdout().includes(SECRET)) })
})
