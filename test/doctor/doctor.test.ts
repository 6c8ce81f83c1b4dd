import { CreateMultipartUploadCommand, GetBucketLifecycleConfigurationCommand, PutBucketPolicyCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import t from 'tap'
import { runDoctor } from '../../src/doctor/doctor.js'
import { FINDING_IDS, type FindingId } from '../../src/doctor/finding.js'
import { bucketPolicy } from '../../src/object-storage/iam-policies.js'
import { measureCapabilities } from '../dev/s3/fixtures/capabilities.js'
import { presign, requestFor, send } from '../dev/s3/fixtures/send.js'
import { startTestS3 } from '../helpers/s3.js'
import { examine, GOOD_LIFECYCLE, leftIn, look, makePatient, ORIGIN, problems, readCors } from './fixtures/look.js'

// On whatever store the tests run: the embedded one, or the server of TEST_S3_ENDPOINT.
const s3 = await startTestS3(t)
const WRITES = ['PUT', 'POST', 'DELETE']

/** What the store of this run lacks, asked for by requests of the tests' own. */
async function measureGaps (): Promise<FindingId[]> {
  const can = await measureCapabilities(s3)
  const bucket = await s3.createBucket()
  const early = presign(s3, requestFor(s3, 'PUT', bucket, 'early', { body: 'x' }), { at: new Date(Date.now() + 3_600_000) })
  const gaps: ReadonlyArray<[id: FindingId, isGap: boolean]> = [
    ['signature', !can.badSignatureNamed],
    ['future-date', (await send(s3.endpoint, early)).status === 200],
    ['unsigned-acl', !can.unsignedAmzHeadersRefused],
    ['unsigned-copy-source', !can.unsignedAmzHeadersRefused],
    ['checksums', !can.checksumsKept],
    ['copy-condition', !can.copySourceConditions],
    ['create-only-copy', !can.createOnlyOnCopy],
    ['create-only-complete', !can.createOnlyOnComplete]
  ]
  return gaps.filter(([, isGap]) => isGap).map(([id]) => id)
}
const gaps = await measureGaps()

t.test('names each gap of this store, and nothing else', async t => {
  const found = problems(await look(t, s3))
  t.strictSame(found.map(({ id }) => id), gaps, JSON.stringify(found))
  t.ok(found.every(({ fix }) => fix), 'and what to do about each')
  t.comment(`gaps: ${gaps.join(', ') || 'none'}`)
})

if (gaps.includes('unsigned-acl')) {
  t.test('T20: the bucket policy that presignd iam prints closes what this store lets through, and leaves the service its copies', async t => {
    const patient = await makePatient(t, s3)
    const policy = bucketPolicy({ bucket: patient.bucket, prefixes: ['pictures/', 'staging/'], stagingPrefix: 'staging/', maxUrlSeconds: 900 })
    // This store of the tests speaks plain HTTP.
    const Policy = JSON.stringify({ ...policy, Statement: policy.Statement.filter(({ Sid }) => Sid !== 'OnlyTls') })
    await s3.client.send(new PutBucketPolicyCommand({ Bucket: patient.bucket, Policy }))
    const found = problems(await examine(patient)).map(({ id }) => id)
    t.strictSame(found, gaps.filter(id => !id.startsWith('unsigned-')))
  })
}

t.test('with the checksums of AWS switched off where they are not kept, a SHA-256 is bound all the same', async t => {
  const findings = await look(t, s3, { env: { S3_CHECKSUMS: 'false' } })
  t.match(findings.find(({ id }) => id === 'checksums'), { level: 'ok' })
})

t.test('the profile of this store is found, and what is measured decides', async t => {
  const provider = async (env: Record<string, string>) => (await look(t, s3, { env })).find(({ id }) => id === 'provider')
  const keeps = !gaps.includes('checksums')
  if (keeps) t.match(await provider({}), { level: 'ok', message: /^the store can do what S3_PROVIDER=generic stands for$/ })
  else t.match(await provider({}), { level: 'warn', message: /^S3_PROVIDER=generic stands for more/, fix: /^set S3_PROVIDER=ceph, or S3_CHECKSUMS=false$/ })
  t.match(await provider({ S3_PROVIDER: 'ceph' }), { level: 'ok', message: keeps ? /S3_PROVIDER=ceph stands for; aws or minio or generic would use all that it can$/ : /S3_PROVIDER=ceph stands for$/ })
})

t.test('a store that fits no profile is described by overrides', async t => {
  const findings = await look(t, s3, { rule: ({ operation }) => operation === 'POST bucket' || operation === 'CompleteMultipartUpload' ? { kind: 'answer', status: 400, body: '<Error><Code>InvalidPart</Code></Error>' } : undefined, env: { S3_CHECKSUMS: 'false' } })
  t.match(findings.find(({ id }) => id === 'provider')?.fix, gaps.includes('checksums') ? /^set S3_PROVIDER=r2, or S3_POST_POLICIES=false S3_UNEQUAL_PARTS=false$/ : /^set S3_POST_POLICIES=false S3_UNEQUAL_PARTS=false$/)
})

t.test('writes below its own prefixes alone, changes no setting, and removes everything', async t => {
  const patient = await makePatient(t, s3)
  await s3.client.send(new PutObjectCommand({ Bucket: patient.bucket, Key: 'pictures/ada/mine', Body: 'mine' }))
  await s3.client.send(new CreateMultipartUploadCommand({ Bucket: patient.bucket, Key: 'pictures/ada/mine-too' }))
  await examine(patient)
  t.strictSame(await leftIn(s3, patient.bucket), ['pictures/ada/mine', 'pictures/ada/mine-too'])
  const writing = patient.proxy.requests.filter(({ method, operation }) => WRITES.includes(method) && operation !== 'POST bucket')
  t.ok(writing.length > 30)
  for (const { method, url } of writing) t.match(url, new RegExp(`^/${patient.bucket}/(pictures|staging)/presignd-doctor-[0-9a-f]{12}/`), method)
})

t.test('what was written is removed when nobody listens any more', async t => {
  const patient = await makePatient(t, s3)
  for await (const { id } of runDoctor(patient.config, patient.policySet, { apply: false })) if (id === 'create-only-put') break
  t.ok(patient.proxy.count('PutObject') > 0)
  t.strictSame(await leftIn(s3, patient.bucket), [])
})

t.test('what was written is removed when it is asked to end', async t => {
  const patient = await makePatient(t, s3)
  const ending = new AbortController()
  const ids = []
  for await (const { id } of runDoctor(patient.config, patient.policySet, { apply: false, signal: ending.signal })) {
    ids.push(id)
    if (id === 'create-only-put') ending.abort()
  }
  t.equal(ids.at(-1), 'create-only-put')
  t.strictSame(await leftIn(s3, patient.bucket), [])
})

t.test('--apply writes the rules that are missing, before the others, and looks again', async t => {
  const theirs = { ID: 'theirs', AllowedOrigins: ['*'], AllowedMethods: ['GET'] }
  const tidy = { ID: 'tidy', Status: 'Enabled' as const, Filter: { Prefix: 'logs/' }, Expiration: { Days: 30 } }
  const patient = await makePatient(t, s3, { cors: [theirs], lifecycle: [tidy] })
  t.match(problems(await examine(patient)).map(({ id }) => id).filter(id => !gaps.includes(id)), ['cors-methods', 'lifecycle-parts', 'lifecycle-staging'])
  t.strictSame(problems(await examine(patient, true)).map(({ id }) => id), gaps)
  t.strictSame(problems(await examine(patient)).map(({ id }) => id), gaps, 'and they are there to stay')
  const cors = await readCors(s3, patient.bucket)
  t.match(cors, [{ ID: 'presignd', AllowedOrigins: [ORIGIN], ExposeHeaders: ['ETag'] }, theirs])
  const { Rules: rules = [] } = await s3.client.send(new GetBucketLifecycleConfigurationCommand({ Bucket: patient.bucket }))
  t.match(rules.find(({ ID }) => ID === 'tidy'), tidy)
  t.match(rules.find(({ ID }) => ID === 'presignd-staging'), { Filter: { Prefix: 'staging/' }, Expiration: { Days: 2 } })
  t.match(rules.find(({ ID }) => ID?.startsWith('presignd-parts-pictures-')), { Filter: { Prefix: 'pictures/' }, AbortIncompleteMultipartUpload: { DaysAfterInitiation: 2 } })
  t.equal(rules.length, 3)

  await examine(patient, true)
  t.strictSame(await readCors(s3, patient.bucket), cors, 'a second time changes nothing')
})

t.test('--apply gives each rule a name of its own, however alike the prefixes are', async t => {
  const policies = ['photos/raw', 'photos-raw'].map((prefix, index) => `  p${index}: { contentTypes: [image/png], maxSize: 1GiB, key: "${prefix}/{fileId}", methods: [multipart] }\n`)
  const patient = await makePatient(t, s3, { policies: `policies:\n${policies.join('')}`, lifecycle: [] })
  await examine(patient, true)
  const { Rules: rules = [] } = await s3.client.send(new GetBucketLifecycleConfigurationCommand({ Bucket: patient.bucket }))
  t.same(rules.map(({ Filter }) => Filter?.Prefix).sort(), ['photos-raw/', 'photos/raw/'])
  t.equal(new Set(rules.map(({ ID }) => ID)).size, 2)
})

t.test('--apply says what it may not write, and overwrites nothing that it cannot read', async t => {
  const patient = await makePatient(t, s3, { cors: [], lifecycle: GOOD_LIFECYCLE.slice(0, 1) })
  patient.proxy.rule = ({ operation, url }) => operation === 'GET bucket' && /[?&](cors|lifecycle)/.test(url) ? { kind: 'answer', status: 403, body: '<Error><Code>AccessDenied</Code></Error>' } : undefined
  const found = problems(await examine(patient, true))
  t.match(found.filter(({ message }) => /could not be written/.test(message)), [
    { id: 'cors', level: 'fail', message: /AccessDenied/, fix: /s3:PutBucketCORS/ },
    { id: 'lifecycle-parts', level: 'fail', message: /AccessDenied/, fix: /s3:PutLifecycleConfiguration/ }
  ])
  t.notOk(patient.proxy.requests.some(({ method, url }) => method === 'PUT' && /[?&](cors|lifecycle)/.test(url)))
})

t.test('rules outlive the URLs', async t => {
  const patient = await makePatient(t, s3, { lifecycle: [], env: { UPLOAD_URL_TTL_SECONDS: '604800' } })
  await examine(patient, true)
  const { Rules: rules = [] } = await s3.client.send(new GetBucketLifecycleConfigurationCommand({ Bucket: patient.bucket }))
  t.match(rules.find(({ ID }) => ID === 'presignd-staging'), { Expiration: { Days: 8 } })
})

t.test('everything that can be found is told, in one order', async t => {
  const ids = (await look(t, s3)).map(({ id }) => id)
  const order = ids.map(id => FINDING_IDS.indexOf(id))
  t.strictSame(order, [...order].sort((left, right) => left - right))
  t.equal(new Set(ids).size, ids.length)
})

t.test('each bucket that a policy uses is looked at, and named', async t => {
  const policies = `
buckets:
  archive: { bucket: my-archive, endpoint: "http://127.0.0.1:1", forcePathStyle: true }
  unused: { bucket: my-unused, endpoint: "http://127.0.0.1:1" }
policies:
  notes: { contentTypes: [text/plain], maxSize: 1MiB, key: "notes/{fileId}", methods: [PUT] }
  old: { contentTypes: [text/plain], maxSize: 1MiB, key: "old/{fileId}", bucket: archive }
`
  const patient = await makePatient(t, s3, { policies })
  const findings = await examine(patient)
  t.strictSame([...new Set(findings.map(({ bucket }) => bucket))], [undefined, patient.bucket, 'my-archive'])
  t.match(findings.filter(({ bucket }) => bucket === 'my-archive'), [{ id: 'endpoint', level: 'fail', fix: /^correct buckets\.archive\.endpoint in / }])
  t.notOk(findings.some(({ id, bucket }) => bucket === patient.bucket && ['multipart', 'lifecycle-parts', 'lifecycle-staging'].includes(id)), 'no road is looked at that no policy takes')
})
