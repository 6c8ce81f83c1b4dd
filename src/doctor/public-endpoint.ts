import { describeError } from './describe-error.js'
import { fail, ok, warn, type Finding } from './finding.js'
import { putObject } from './put-object.js'
import { describeReply, sendRequest } from './send-request.js'
import { PROBE_BYTES, PROBE_SECONDS, PROBE_TYPE, type Site } from './site.js'

/**
 * Whether clients reach the same bucket by the address that URLs are signed for. Where they do, the other probes
 * go that way, too.
 */
export async function probePublicEndpoint (site: Site): Promise<Finding> {
  const address = site.publicEndpoint ?? site.endpoint
  if (site.publicEndpoint !== undefined) {
    const broken = await findDifference(site, site.publicEndpoint)
    if (broken) return broken
    site.storage = site.forClients
  }
  if (address !== undefined && isOpen(new URL(address))) return warn('public-endpoint', `URLs for clients are signed for ${address}: whoever is on the way reads files, and URLs`, `give the store TLS, and set ${site.settingName(site.publicEndpoint === undefined ? 'S3_ENDPOINT' : 'S3_PUBLIC_ENDPOINT')} to its https URL`)
  return ok('public-endpoint', site.publicEndpoint === undefined ? 'clients use the same address' : `clients reach the same bucket at ${site.publicEndpoint}`)
}

async function findDifference (site: Site, address: string): Promise<Finding | null> {
  const name = site.settingName('S3_PUBLIC_ENDPOINT')
  const location = site.at('public-endpoint')
  await putObject(site, location)
  try {
    const reply = await sendRequest(await site.forClients.presignGet({ ...location, method: 'GET', contentType: PROBE_TYPE, contentDisposition: 'inline', signedAt: new Date(), expiresInSeconds: PROBE_SECONDS }))
    if (reply.status === 200 && reply.body.equals(PROBE_BYTES)) return null
    return fail('public-endpoint', `${address} does not show what the service wrote (${describeReply(reply)})`, reply.code === 'SignatureDoesNotMatch'
      ? `let the proxy at ${name} pass the Host header, the path and the query on as they are`
      : `let ${name} lead to the same store, and to the bucket ${site.bucket}`)
  } catch (error) {
    return fail('public-endpoint', `${address} does not answer (${describeError(error)})`, `correct ${name}, or run presignd doctor where clients are`)
  }
}

/** Plain http over a network; loopback and names that never leave a machine have none. */
function isOpen ({ protocol, hostname }: URL): boolean {
  return protocol === 'http:' && !/^(localhost|.*\.localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname)
}
