import type { CorsSetting } from '../object-storage/bucket-settings.js'
import { fail, ok, warn, type Finding, type Probe } from './finding.js'
import { sendRequest, type Reply } from './send-request.js'
import { PROBE_BYTES, probePut, type Site } from './site.js'

const RULE = 'presignd'
const APPLY = 'run presignd doctor --apply with a key that may s3:GetBucketCORS and s3:PutBucketCORS'

/** Asks as a browser does before it lets a page of each origin send, and looks at what it lets the page see. */
const cors: Probe<Site> = {
  id: 'cors',
  async run (site) {
    const { corsOrigins } = site.config
    if (corsOrigins.length === 0) return [ok('cors', 'not needed: CORS_ORIGINS names no page')]
    const findings = []
    for (const origin of corsOrigins) findings.push(...await probeOrigin(site, origin))
    return findings
  }
}

/** Lets the pages of all configured origins do what the policies of this bucket ask for. Other rules stay. */
export async function applyCors (site: Site): Promise<void> {
  if (site.config.corsOrigins.length > 0) await site.settings.addCorsRule(RULE, neededCors(site))
}

function neededCors (site: Site): CorsSetting {
  return {
    origins: site.config.corsOrigins,
    methods: [
      ...(site.uses('PUT') || site.uses('multipart') ? ['PUT'] : []),
      ...(site.uses('POST') ? ['POST'] : []),
      'GET',
      'HEAD',
      ...(site.policies.some(({ presignedDelete }) => presignedDelete) ? ['DELETE'] : [])
    ],
    headers: ['content-type', 'if-none-match', 'x-amz-*'],
    exposedHeaders: ['ETag']
  }
}

async function probeOrigin (site: Site, origin: string): Promise<Finding[]> {
  const { methods } = neededCors(site)
  const presigned = await site.storage.presignPut(probePut(site.at('cors'), { checksum: { algorithm: 'SHA256', value: '' } }))
  const refusedMethods = []
  for (const method of methods) if (!allows(await preflight(presigned.url, origin, method), origin, method)) refusedMethods.push(method)
  const refusedHeaders = []
  if (methods.includes('PUT') && !refusedMethods.includes('PUT')) {
    for (const name of Object.keys(presigned.headers)) if (!allows(await preflight(presigned.url, origin, 'PUT', name), origin, 'PUT', name)) refusedHeaders.push(name)
  }
  const findings: Finding[] = []
  if (refusedMethods.length > 0) findings.push(fail('cors-methods', `pages of ${origin} may not send ${refusedMethods.join(', ')}`, APPLY))
  if (refusedHeaders.length > 0) findings.push(fail('cors-headers', `pages of ${origin} may not send the headers ${refusedHeaders.join(', ')}`, APPLY))
  // Without a rule for PUT there is nothing that could be shown.
  if (!refusedMethods.includes('PUT') && !await showsEtag(site, origin)) findings.push(etagHidden(site, origin))
  return findings.length > 0 ? findings : [ok('cors', `pages of ${origin} may send ${methods.join(', ')} and see the ETag`)]
}

/** Uppy's clients tell the ETags of parts when they complete; presignd asks the store for them by itself. */
function etagHidden (site: Site, origin: string): Finding {
  const message = `pages of ${origin} do not see the ETag of what they sent`
  return site.uses('multipart') ? fail('cors-etag', message, APPLY) : warn('cors-etag', message, APPLY)
}

async function preflight (url: string, origin: string, method: string, header?: string): Promise<Reply> {
  return await sendRequest({ method: 'OPTIONS', url, headers: { origin, 'access-control-request-method': method, ...(header !== undefined && { 'access-control-request-headers': header }) } })
}

/** @see https://fetch.spec.whatwg.org/#cors-preflight-fetch */
function allows ({ status, headers }: Reply, origin: string, method: string, header?: string): boolean {
  return status >= 200 && status < 300 && isAllowedOrigin(headers, origin) && lists(headers['access-control-allow-methods'], method) &&
    (header === undefined || lists(headers['access-control-allow-headers'], header))
}

async function showsEtag (site: Site, origin: string): Promise<boolean> {
  const presigned = await site.storage.presignPut(probePut(site.at(`cors-etag-${site.written.length}`)))
  const { headers } = await sendRequest({ ...presigned, headers: { ...presigned.headers, origin } }, PROBE_BYTES)
  return isAllowedOrigin(headers, origin) && lists(headers['access-control-expose-headers'], 'etag')
}

function isAllowedOrigin (headers: Reply['headers'], origin: string): boolean {
  return ['*', origin].includes(headers['access-control-allow-origin'] ?? '')
}

function lists (value: string | undefined, wanted: string): boolean {
  return (value ?? '').split(',').map(item => item.trim().toLowerCase()).some(item => item === '*' || item === wanted.toLowerCase())
}

export const corsProbes: ReadonlyArray<Probe<Site>> = [cors]
