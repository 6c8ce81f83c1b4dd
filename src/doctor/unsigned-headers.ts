import { fail, ok, warn, type Finding, type Probe } from './finding.js'
import { putObject } from './put-object.js'
import { isRefused, sendRequest } from './send-request.js'
import { PROBE_BYTES, PROBE_TYPE, probePut, type Site } from './site.js'

const POLICY = 'put the bucket policy of docs/doctor.md#unsigned-headers on the bucket'

const unsignedAcl: Probe<Site> = {
  id: 'unsigned-acl',
  async run (site) {
    const location = site.at('unsigned-acl')
    const presigned = await site.storage.presignPut(probePut(location))
    const reply = await sendRequest({ ...presigned, headers: { ...presigned.headers, 'x-amz-acl': 'public-read' } }, PROBE_BYTES)
    if (isRefused(reply)) return [ok('unsigned-acl', 'an unsigned x-amz-acl is refused')]
    const anonymous = new URL(presigned.url)
    anonymous.search = ''
    if (isRefused(await sendRequest({ method: 'GET', url: anonymous.href }))) return [withoutEffect('unsigned-acl', 'x-amz-acl')]
    return [fail('unsigned-acl', 'whoever has an upload URL can publish the object, by an unsigned x-amz-acl', POLICY)]
  }
}

const unsignedCopySource: Probe<Site> = {
  id: 'unsigned-copy-source',
  async run (site) {
    const [secret, target] = [site.at('copied-by-header'), site.at('unsigned-copy-source')]
    const bytes = Buffer.from(PROBE_BYTES).reverse()
    await putObject(site, secret, bytes)
    const presigned = await site.storage.presignPut(probePut(target))
    const source = { 'x-amz-copy-source': `/${secret.bucket}/${secret.key}` }
    const replies = [
      // Some stores take the body along, others want none for a copy.
      await sendRequest({ ...presigned, headers: { ...presigned.headers, ...source } }, PROBE_BYTES),
      await sendRequest({ ...presigned, headers: { ...presigned.headers, ...source } }, Buffer.alloc(0))
    ]
    if (replies.every(isRefused)) return [ok('unsigned-copy-source', 'an unsigned x-amz-copy-source is refused')]
    const read = await sendRequest(await site.storage.presignGet({ ...target, method: 'GET', contentType: PROBE_TYPE, contentDisposition: 'attachment', signedAt: new Date(), expiresInSeconds: 60 }))
    if (!read.body.equals(bytes)) return [withoutEffect('unsigned-copy-source', 'x-amz-copy-source')]
    return [fail('unsigned-copy-source', 'whoever has an upload URL can copy any object of the bucket, by an unsigned x-amz-copy-source', `${POLICY}, and sign with a key that reads no other bucket`)]
  }
}

function withoutEffect (id: 'unsigned-acl' | 'unsigned-copy-source', header: string): Finding {
  return warn(id, `an unsigned ${header} is taken, and does nothing`, 'none is needed, as long as it does nothing: run presignd doctor again when the store is updated')
}

export const unsignedHeaderProbes: ReadonlyArray<Probe<Site>> = [unsignedAcl, unsignedCopySource]
