import { createCloudFrontPresign, type CloudFrontOptions } from '../object-storage/cloudfront.js'
import type { ObjectLocation } from '../object-storage/object-storage.js'
import { STAGING_PREFIX } from '../policies/object-key.js'
import { describeError } from './describe-error.js'
import { fail, ok, warn, type Finding, type Probe } from './finding.js'
import { putObject } from './put-object.js'
import { describeReply, isRefused, sendRequest, type Reply } from './send-request.js'
import { PROBE_BYTES, PROBE_SECONDS, type Site } from './site.js'

/** What docs/downloads.md asks of the distribution, as far as downloads of it tell. */
const cdn: Probe<Site> = {
  id: 'cdn',
  async run (site) {
    const { cloudFront, s3 } = site.config
    if (!cloudFront || site.bucket !== s3.bucket) return []
    const location = site.at('cdn')
    await putObject(site, location)
    const download = await createDownload(cloudFront, location)
    let first: Reply
    try {
      first = await sendRequest(download('attachment; filename="first.txt"'))
    } catch (error) {
      return [fail('cdn', `${cloudFront.url} does not answer (${describeError(error)})`, 'correct CLOUDFRONT_URL, or wait until the distribution is deployed')]
    }
    if (isRefused(first)) return [fail('cdn', `a signed URL is refused (${describeReply(first)})`, `put the public key CLOUDFRONT_KEY_PAIR_ID of CLOUDFRONT_PRIVATE_KEY into the trusted key group, and let the distribution s3:GetObject ${site.bucket}`)]
    if (!first.body.equals(PROBE_BYTES)) return [fail('cdn', 'something else comes than the object of the bucket', `make ${site.bucket} the origin, without an origin path`)]
    const second = await sendRequest(download('inline; filename="second.txt"'))
    return [passesOn(first, second), await protectsObjects(cloudFront, location), ...await protectsStaging(site, cloudFront), protectsPages(first)]
  }
}

const TYPE = 'application/x-presignd'

async function createDownload (cloudFront: CloudFrontOptions, location: ObjectLocation) {
  const presign = await createCloudFrontPresign(cloudFront)
  return (contentDisposition: string) => presign({ ...location, method: 'GET', contentType: TYPE, contentDisposition, signedAt: new Date(), expiresInSeconds: PROBE_SECONDS })
}

function passesOn (first: Reply, second: Reply): Finding {
  const fix = 'name response-content-type, response-content-disposition and response-cache-control in the query strings of the cache policy'
  const wanted = { 'content-type': TYPE, 'content-disposition': 'attachment; filename="first.txt"', 'cache-control': `private, max-age=${PROBE_SECONDS}` }
  const missing = Object.entries(wanted).filter(([name, value]) => first.headers[name] !== value).map(([name]) => name)
  if (missing.length > 0) return fail('cdn', `a download does not carry the signed ${missing.join(', ')}`, fix)
  if (second.headers['content-disposition'] !== 'inline; filename="second.txt"') return fail('cdn', 'a download carries the disposition of another one from the cache', fix)
  return ok('cdn', 'a download carries the signed type, disposition and cache rule, and no other\'s')
}

async function protectsObjects ({ url }: CloudFrontOptions, { key }: ObjectLocation): Promise<Finding> {
  const reply = await sendRequest({ method: 'GET', url: `${url}/${key}` })
  if (isRefused(reply)) return ok('cdn-unsigned', 'nothing comes without a signature')
  return fail('cdn-unsigned', 'whoever knows a key can read its object without a signature', 'restrict viewer access to the trusted key group in every behavior of the distribution')
}

async function protectsStaging (site: Site, cloudFront: CloudFrontOptions): Promise<Finding[]> {
  if (!site.usesStaging) return []
  const location = site.at('cdn', STAGING_PREFIX)
  await putObject(site, location)
  const download = await createDownload(cloudFront, location)
  if (isRefused(await sendRequest(download('attachment')))) return [ok('cdn-staging', 'what is not checked yet is out of its reach')]
  return [warn('cdn-staging', `the distribution can read what is not checked yet, below ${STAGING_PREFIX}`, 'let it s3:GetObject below the prefixes of the policies alone')]
}

function protectsPages ({ headers }: Reply): Finding {
  const missing = [
    ...(headers['x-content-type-options'] === 'nosniff' ? [] : ['X-Content-Type-Options: nosniff']),
    ...(/\bsandbox\b/.test(headers['content-security-policy'] ?? '') ? [] : ['Content-Security-Policy: sandbox'])
  ]
  if (missing.length === 0) return ok('cdn-headers', 'what is shown cannot run')
  return warn('cdn-headers', `downloads come without ${missing.join(' and ')}`, 'attach the response headers policy of docs/downloads.md')
}

export const cdnProbes: ReadonlyArray<Probe<Site>> = [cdn]
