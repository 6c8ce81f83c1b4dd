import t, { type Test } from 'tap'
import { cdnProbes } from '../../src/doctor/cdn.js'
import type { Finding } from '../../src/doctor/finding.js'
import { runProbe } from '../../src/doctor/run-probe.js'
import { openSites } from '../../src/doctor/site.js'
import { startDistribution, type DistributionOptions } from '../helpers/cloudfront.js'
import { startEmbeddedTestS3 } from '../helpers/s3.js'
import { examine, leftIn, look, makePatient } from './fixtures/look.js'

const s3 = await startEmbeddedTestS3(t)
let bucket = ''
const distribution = await startDistribution(t, s3, () => bucket)
const well = { ...distribution.options }
const otherKey = await startDistribution(t, s3, () => bucket)

/** What is wrong with a distribution that is well but for what is given. */
async function findFaults (t: Test, ill: Partial<DistributionOptions> = {}, env: Readonly<Record<string, string>> = {}): Promise<Finding[]> {
  Object.assign(distribution.options, well, ill)
  const patient = await makePatient(t, s3, { env: { ...distribution.env, ...env }, isMigrated: false })
  bucket = patient.bucket
  const [site] = openSites(patient.config, patient.policySet)
  if (!site) throw new Error('There is a bucket to look at')
  t.teardown(() => site.close())
  return (await Promise.all(cdnProbes.map(async probe => await runProbe(probe, site)))).flat().filter(({ level }) => level !== 'ok')
}

t.test('a distribution as docs/downloads.md describes it is well, and nothing is left in its bucket', async t => {
  const patient = await makePatient(t, s3, { env: distribution.env })
  bucket = patient.bucket
  const found = (await examine(patient)).filter(({ id }) => id.startsWith('cdn'))
  t.strictSame(found.map(({ id, level }) => [id, level]), [['cdn', 'ok'], ['cdn-unsigned', 'ok'], ['cdn-staging', 'ok'], ['cdn-headers', 'ok']])
  t.strictSame(await leftIn(s3, bucket), [])
})

const faults: ReadonlyArray<[name: string, ill: Partial<DistributionOptions>, id: string, level: Finding['level'], message: RegExp, fix: RegExp]> = [
  ['passes no query strings on', { cachePolicy: [] }, 'cdn', 'fail', /does not carry the signed content-type, content-disposition, cache-control/, /cache policy/],
  ['forgets the disposition', { cachePolicy: ['response-content-type', 'response-cache-control'] }, 'cdn', 'fail', /does not carry the signed content-disposition$/, /cache policy/],
  ['passes them on without caching by them', { cachePolicy: [], originRequestPolicy: well.cachePolicy ?? [] }, 'cdn', 'fail', /the disposition of another one from the cache/, /cache policy/],
  ['lets everyone in', { restrictsViewers: false }, 'cdn-unsigned', 'fail', /without a signature/, /trusted key group in every behavior/],
  ['reads staging', { readable: /./ }, 'cdn-staging', 'warn', /not checked yet, below staging\//, /prefixes of the policies alone/],
  ['may not read the bucket', { readable: /^nothing/ }, 'cdn', 'fail', /a signed URL is refused \(403\)/, /s3:GetObject/],
  ['lets types be guessed', { responseHeaders: { 'content-security-policy': 'sandbox' } }, 'cdn-headers', 'warn', /without X-Content-Type-Options: nosniff$/, /response headers policy/],
  ['lets pages run', { responseHeaders: { 'x-content-type-options': 'nosniff' } }, 'cdn-headers', 'warn', /without Content-Security-Policy: sandbox$/, /response headers policy/]
]
for (const [name, ill, id, level, message, fix] of faults) {
  t.test(`names a distribution that ${name}, and nothing else`, async t => {
    const found = await findFaults(t, ill)
    t.match(found, [{ id, level, message, fix }])
    t.equal(found.length, 1)
  })
}

const settings: ReadonlyArray<[name: string, env: Readonly<Record<string, string>>, message: RegExp, fix: RegExp]> = [
  ['of which nothing answers', { CLOUDFRONT_URL: 'http://127.0.0.1:1' }, /127.0.0.1:1 does not answer \(ECONNREFUSED\)/, /^correct CLOUDFRONT_URL/],
  ['that knows another key', { CLOUDFRONT_PRIVATE_KEY: otherKey.env['CLOUDFRONT_PRIVATE_KEY'] ?? '' }, /a signed URL is refused \(AccessDenied\)/, /CLOUDFRONT_KEY_PAIR_ID/]
]
for (const [name, env, message, fix] of settings) {
  t.test(`names a distribution ${name}`, async t => {
    t.match(await findFaults(t, {}, env), [{ id: 'cdn', level: 'fail', message, fix }])
  })
}

t.test('without one, nothing is said of it', async t => {
  t.strictSame((await look(t, s3)).filter(({ id }) => id.startsWith('cdn')), [])
})
