import { describeError, isUnsupported } from './describe-error.js'
import { fail, ok, warn, type Probe } from './finding.js'
import { putObject } from './put-object.js'
import { isRefused, sendRequest } from './send-request.js'
import { PROBE_BYTES, probePut, type Site } from './site.js'

/** Tries, without any signature, what only a signature should allow. */
const publicAccess: Probe<Site> = {
  id: 'public-access',
  async run (site) {
    const readable = []
    let isListable = false
    let isWritable = false
    for (const prefix of site.prefixes) {
      const location = site.at('public-read', prefix)
      await putObject(site, location)
      const { url } = await site.storage.presignPut(probePut(location))
      if (!isRefused(await anonymously('GET', url))) readable.push(prefix === '' ? 'every key' : prefix)
      const other = await site.storage.presignPut(probePut(site.at('public-write', prefix)))
      if (!isRefused(await anonymously('PUT', other.url, PROBE_BYTES))) isWritable = true
      if (!isRefused(await anonymously('GET', url.slice(0, url.indexOf(location.key))))) isListable = true
    }
    const allowed = [...(readable.length > 0 ? [`read ${readable.join(', ')}`] : []), ...(isListable ? ['list the bucket'] : []), ...(isWritable ? ['write to it'] : [])]
    if (allowed.length === 0) return [ok('public-access', 'nobody reads, lists or writes without a signature')]
    return [fail('public-access', `anyone may ${allowed.join(', ')}, without a token or a URL of presignd`, `make the bucket private: take the public statement out of its policy and the public grant out of its ACL (s3api get-bucket-policy and get-bucket-acl --bucket ${site.bucket})`)]
  }
}

async function anonymously (method: 'GET' | 'PUT', url: string, body?: Uint8Array) {
  const bare = new URL(url)
  bare.search = ''
  return await sendRequest({ method, url: bare.href }, body)
}

const ALL_BLOCKS = 4

const publicAccessBlock: Probe<Site> = {
  id: 'public-access-block',
  async run (site) {
    try {
      const count = await site.settings.countPublicAccessBlocks()
      if (count === ALL_BLOCKS) return [ok('public-access-block', 'public access is blocked, whatever policies and ACLs say')]
      // Elsewhere they may do harm: with BlockPublicAcls, Ceph 16 refuses every PUT.
      if (!isAws(site.endpoint)) return [ok('public-access-block', `${count} of ${ALL_BLOCKS} switches of AWS against public access are on`)]
      return [warn('public-access-block', `${count} of ${ALL_BLOCKS} switches against public access are on`, `aws s3api put-public-access-block --bucket ${site.bucket} --public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true`)]
    } catch (error) {
      if (isUnsupported(error)) return [ok('public-access-block', 'cannot be read: the store has no such switches')]
      return [warn('public-access-block', `cannot be read: ${describeError(error)}`, `allow s3:GetBucketPublicAccessBlock on arn:aws:s3:::${site.bucket}, or look at it by hand`)]
    }
  }
}

function isAws (endpoint: string | undefined): boolean {
  return endpoint === undefined || /\.amazonaws\.com(\.cn)?$/.test(new URL(endpoint).hostname)
}

export const publicAccessProbes: ReadonlyArray<Probe<Site>> = [publicAccess, publicAccessBlock]
