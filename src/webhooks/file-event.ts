import type { FileEventType } from '../files/file-events.js'
import type { File } from '../files/file.js'

/**
 * The body of a webhook: what changed, for a receiver that knows the file by its id. It holds no URL; where the
 * object is stays inside unless the endpoint asks for it. Made once, and the same text at every attempt.
 */
export function renderFileEvent (type: FileEventType, file: File, at: Date, { includeKey }: { readonly includeKey: boolean }): string {
  return JSON.stringify({
    type,
    timestamp: at.toISOString(),
    data: {
      id: file.id,
      policy: file.policy,
      owner: file.owner,
      ...(file.tenant !== '' && { tenant: file.tenant }),
      filename: file.filename,
      contentType: file.contentType,
      ...(file.sizeBytes !== null && { sizeBytes: file.sizeBytes }),
      metadata: file.metadata,
      ...(file.status === 'rejected' && { rejectedReason: file.rejectedReason }),
      ...(includeKey && { bucket: file.bucket, key: file.key }),
      sequence: file.version
    }
  })
}
