import { expectRefusal } from './expect-refusal.js'
import { fail, ok, warn, type Finding, type Probe } from './finding.js'
import { putObject } from './put-object.js'
import { describeReply, isRefused, sendRequest } from './send-request.js'
import { ONE_BYTE_MORE, PROBE_BYTES, probePut, type Site } from './site.js'

/** How far ahead a signature is that begins too late: AWS allows 15 minutes. */
const AHEAD_MS = 3_600_000

/** Whether a presigned PUT arrives at all: nothing that follows means anything when it does not. */
export async function probeFirstPut (site: Site): Promise<Finding> {
  const reply = await sendRequest(await site.storage.presignPut(probePut(site.at('put'))), PROBE_BYTES)
  if (!isRefused(reply)) return ok('put', 'a presigned PUT arrives')
  return fail('put', `a presigned PUT is refused (${describeReply(reply)})`, reply.code === 'AccessDenied'
    ? `allow s3:PutObject on arn:aws:s3:::${site.bucket}/* to the key of the service, and take what denies it out of the bucket policy`
    : reply.code === 'SignatureDoesNotMatch'
      ? 'let every proxy on the way pass the Host header, the path and the query on as they are'
      : 'use a store that takes presigned requests of AWS Signature Version 4 with If-None-Match')
}

const createOnlyPut: Probe<Site> = {
  id: 'create-only-put',
  async run (site) {
    const location = site.at('create-only-put')
    await putObject(site, location)
    const isHonoured = isRefused(await sendRequest(await site.storage.presignPut(probePut(location)), PROBE_BYTES))
    site.measured.conditionalWrites = isHonoured
    const isTrusted = site.config.s3.conditionalWrites
    if (isHonoured) return [ok('create-only-put', isTrusted ? 'a second PUT is refused' : 'a second PUT is refused: with S3_CONDITIONAL_WRITES=true nothing would have to be copied')]
    if (!isTrusted) return [ok('create-only-put', 'a second PUT overwrites: uploads are sealed by a copy')]
    return [fail('create-only-put', 'a second PUT overwrites, so that a URL can change what was checked', 'set S3_CONDITIONAL_WRITES=false: uploads are then sealed by a copy')]
  }
}

const signature: Probe<Site> = {
  id: 'signature',
  async run (site) {
    const presigned = await site.storage.presignPut(probePut(site.at('signature')))
    const url = new URL(presigned.url)
    url.searchParams.set('X-Amz-Signature', '0'.repeat(64))
    const replies = [
      await sendRequest({ ...presigned, url: url.href }, PROBE_BYTES),
      await sendRequest({ method: 'DELETE', url: presigned.url, headers: presigned.headers })
    ]
    if (!replies.every(isRefused)) return [fail('signature', 'a wrong signature is accepted: anyone may write anything', 'use another store: this one checks nothing')]
    const misnamed = replies.find(({ code }) => code !== 'SignatureDoesNotMatch')
    if (!misnamed) return [ok('signature', 'a wrong signature is refused')]
    return [warn('signature', `a wrong signature is refused, but as ${describeReply(misnamed)}`, 'none is needed: only whoever looks for a mistake is told less')]
  }
}

const expiry: Probe<Site> = {
  id: 'expiry',
  async run (site) {
    const over = probePut(site.at('expiry'), { signedAt: new Date(Date.now() - AHEAD_MS) })
    return [expectRefusal('expiry', [await sendRequest(await site.storage.presignPut(over), PROBE_BYTES)], {
      good: 'a URL is dead after its end',
      bad: 'a URL lives on after its end',
      fix: 'use a store that heeds X-Amz-Expires'
    })]
  }
}

const futureDate: Probe<Site> = {
  id: 'future-date',
  async run (site) {
    const early = probePut(site.at('future-date'), { signedAt: new Date(Date.now() + AHEAD_MS) })
    const { expiresAt } = await site.settings.findCredentials() ?? { expiresAt: null }
    if (expiresAt && expiresAt.getTime() < Date.now() + 2 * AHEAD_MS) return [ok('future-date', 'not asked: the credentials end before')]
    const reply = await sendRequest(await site.storage.presignPut(early), PROBE_BYTES)
    if (isRefused(reply)) return [ok('future-date', 'a URL is not alive before its time')]
    return [warn('future-date', 'a URL works before its time: a clock that is ahead makes URLs live longer', 'keep the clocks right by NTP; presignd signs nothing when they are five minutes apart')]
  }
}

const signedType: Probe<Site> = {
  id: 'signed-type',
  async run (site) {
    const presigned = await site.storage.presignPut(probePut(site.at('signed-type')))
    const { 'content-type': _, ...untyped } = presigned.headers
    const replies = [
      await sendRequest({ ...presigned, headers: { ...untyped, 'content-type': 'text/html' } }, PROBE_BYTES),
      await sendRequest({ ...presigned, headers: untyped }, PROBE_BYTES)
    ]
    return [expectRefusal('signed-type', replies, {
      good: 'another content type than the signed one is refused',
      bad: 'another content type than the signed one is taken',
      fix: 'use a store that checks signed headers: presignd looks again at complete, and rejects such files'
    })]
  }
}

const signedLength: Probe<Site> = {
  id: 'signed-length',
  async run (site) {
    const presigned = await site.storage.presignPut(probePut(site.at('signed-length')))
    const replies = [await sendRequest(presigned, ONE_BYTE_MORE), await sendRequest(presigned, PROBE_BYTES.subarray(1))]
    return [expectRefusal('signed-length', replies, {
      good: 'a byte more or less than signed is refused',
      bad: 'another length than the signed one is taken: anyone may fill the bucket',
      fix: 'use a store that checks a signed Content-Length, or allow the method POST alone'
    })]
  }
}

export const uploadProbes: ReadonlyArray<Probe<Site>> = [createOnlyPut, signature, expiry, futureDate, signedType, signedLength]
