import { fail, ok, type Probe } from './finding.js'
import { putObject } from './put-object.js'
import { describeReply, isRefused, sendRequest } from './send-request.js'
import { PROBE_SECONDS, type Site } from './site.js'

const download: Probe<Site> = {
  id: 'download',
  async run (site) {
    const location = site.at('download')
    await putObject(site, location)
    const wanted = { 'content-type': 'application/x-presignd', 'content-disposition': 'attachment; filename="probe.txt"', 'cache-control': `private, max-age=${PROBE_SECONDS}` }
    const presigned = await site.storage.presignGet({
      ...location,
      method: 'GET',
      contentType: wanted['content-type'],
      contentDisposition: wanted['content-disposition'],
      signedAt: new Date(),
      expiresInSeconds: PROBE_SECONDS
    })
    const reply = await sendRequest(presigned)
    if (isRefused(reply)) return [fail('download', `a presigned GET is refused (${describeReply(reply)})`, `allow s3:GetObject on arn:aws:s3:::${site.bucket}/* to the key of the service`)]
    const missing = Object.entries(wanted).filter(([name, value]) => reply.headers[name] !== value).map(([name]) => name)
    if (missing.length === 0) return [ok('download', 'a presigned GET carries the signed type, disposition and cache rule')]
    return [fail('download', `a presigned GET does not carry the signed ${missing.join(', ')}`, 'use a store, or a CDN in front of it, that heeds response-content-type, response-content-disposition and response-cache-control')]
  }
}

export const downloadProbes: ReadonlyArray<Probe<Site>> = [download]
