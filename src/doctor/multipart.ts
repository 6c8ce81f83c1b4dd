import { MIN_PART_BYTES } from '../policies/choose-method.js'
import type { ObjectLocation } from '../object-storage/object-storage.js'
import { expectRefusal } from './expect-refusal.js'
import { describeError } from './describe-error.js'
import { fail, ok, warn, type Probe } from './finding.js'
import { checkTaken, putObject } from './put-object.js'
import { sendRequest, type Reply } from './send-request.js'
import { ONE_BYTE_MORE, PROBE_BYTES, PROBE_SECONDS, PROBE_TYPE, type Site } from './site.js'

const multipart: Probe<Site> = {
  id: 'multipart',
  async run (site) {
    try {
      const location = site.at('multipart')
      const id = await begin(site, location)
      checkTaken(await sendPart(site, location, id, 1, PROBE_BYTES))
      for await (const upload of site.internal.listMultipartUploads(site.bucket, location.key)) if (upload.multipartUploadId === id) break
      const parts = await site.internal.listParts(location, id) ?? []
      await site.internal.completeMultipartUpload(location, id, parts, null)
      const stored = await site.internal.headObject(location)
      if (stored?.sizeBytes !== PROBE_BYTES.length) return [fail('multipart', 'an upload in parts does not come together', 'leave multipart out of the methods of the policies')]
      const given = await begin(site, location)
      checkTaken(await sendPart(site, location, given, 1, PROBE_BYTES))
      await site.internal.abortMultipartUpload(location, given)
      return [ok('multipart', 'an upload in parts comes together, or is given up')]
    } catch (error) {
      return [fail('multipart', `an upload in parts does not work (${describeError(error)})`, 'allow s3:PutObject, s3:AbortMultipartUpload, s3:ListMultipartUploadParts and s3:ListBucketMultipartUploads to the key of the service, or leave multipart out of the methods')]
    }
  }
}

const partLength: Probe<Site> = {
  id: 'part-length',
  async run (site) {
    const location = site.at('part-length')
    const id = await begin(site, location)
    const replies = [await sendPart(site, location, id, 1, PROBE_BYTES, PROBE_BYTES.length - 1), await sendPart(site, location, id, 1, PROBE_BYTES, PROBE_BYTES.length + 1)]
    return [expectRefusal('part-length', replies, {
      good: 'a part with a byte more or less than signed is refused',
      bad: 'a part of another length than the signed one is taken: anyone may fill the bucket',
      fix: 'use a store that checks a signed Content-Length, or leave multipart out of the methods'
    })]
  }
}

const unequalParts: Probe<Site> = {
  id: 'unequal-parts',
  async run (site) {
    const location = site.at('unequal-parts')
    const id = await begin(site, location)
    for (const [index, sizeBytes] of [MIN_PART_BYTES, MIN_PART_BYTES + 1, 1].entries()) checkTaken(await sendPart(site, location, id, index + 1, Buffer.alloc(sizeBytes)))
    const parts = await site.internal.listParts(location, id) ?? []
    let isTaken
    try {
      isTaken = await site.internal.completeMultipartUpload(location, id, parts, null) === 'completed'
    } catch (error) {
      if (!['InvalidPart', 'InvalidRequest', 'EntityTooSmall', 'InvalidArgument'].includes(describeError(error))) throw error
      isTaken = false
    }
    site.measured.unequalParts = isTaken
    if (isTaken) return [ok('unequal-parts', 'parts may be of different sizes')]
    const message = 'all parts but the last must be of one size'
    return [site.config.s3.unequalParts
      ? warn('unequal-parts', message, 'set S3_UNEQUAL_PARTS=false: clients that cut by themselves are then told before they complete')
      : ok('unequal-parts', `${message}, and clients that cut by themselves are told`)]
  }
}

const createOnlyComplete: Probe<Site> = {
  id: 'create-only-complete',
  async run (site) {
    const location = site.at('create-only-complete')
    await putObject(site, location)
    const id = await begin(site, location)
    checkTaken(await sendPart(site, location, id, 1, ONE_BYTE_MORE))
    const outcome = await site.internal.completeMultipartUpload(location, id, await site.internal.listParts(location, id) ?? [], null)
    if (outcome === 'gone') return [ok('create-only-complete', 'If-None-Match is honoured on CompleteMultipartUpload')]
    return [warn('create-only-complete', 'If-None-Match is ignored on CompleteMultipartUpload', 'none is needed: presignd alone completes, under a lease, to keys that nobody else can write to')]
  }
}

async function begin (site: Site, location: ObjectLocation): Promise<string> {
  const multipartUploadId = await site.internal.createMultipartUpload(location, { contentType: PROBE_TYPE, checksum: null })
  site.begun.push({ location, multipartUploadId })
  return multipartUploadId
}

async function sendPart (site: Site, location: ObjectLocation, multipartUploadId: string, partNumber: number, body: Uint8Array, sizeBytes = body.length): Promise<Reply> {
  const { parts: [part] } = await site.storage.presignParts({ ...location, multipartUploadId, parts: [{ partNumber, sizeBytes, sha256: null }], signedAt: new Date(), expiresInSeconds: PROBE_SECONDS })
  return await sendRequest({ method: 'PUT', url: part?.url ?? '', headers: part?.headers ?? {} }, body)
}

/** For buckets that a policy sends parts to. */
export const multipartProbes: ReadonlyArray<Probe<Site>> = [multipart, partLength, unequalParts, createOnlyComplete]
