import type { PendingFile } from '../files/file.js'
import type { Services } from '../services.js'

/** How long an upload URL of this policy lives. A policy that is gone from the file leaves the default. */
export function uploadUrlTtlSeconds ({ policies, config }: Services, policy: string): number {
  return policies.get(policy)?.uploadUrlTtlSeconds ?? config.uploadUrlTtlSeconds
}

/** The end of a URL that is signed at this time. The row has to know it before the URL leaves. */
export function urlDeadline (signedAt: Date, ttlSeconds: number): Date {
  return new Date((Math.floor(signedAt.getTime() / 1000) + ttlSeconds) * 1000)
}

/** Signs what a client needs to send the bytes of this file. `file.urlDeadline` must cover it already. */
export async function signInstructions (services: Services, file: PendingFile, signedAt: Date) {
  const { method, url, headers, expiresAt } = await services.objectStorage.presignPut({
    bucket: file.bucket,
    key: file.key,
    contentType: file.contentType,
    sizeBytes: file.sizeBytes,
    checksumSha256: file.checksumSha256,
    signedAt,
    expiresInSeconds: uploadUrlTtlSeconds(services, file.policy)
  })
  return { method, url, headers, expiresAt: expiresAt.toISOString() }
}
