import type { Services } from '../services.js'
import type { ObjectOptions } from './reconcile-objects.js'
import type { Place } from './reconcile-places.js'

export interface MultipartFinding {
  readonly kind: 'multipart-without-row'
  readonly bucket: string
  readonly key: string
  readonly initiatedAt: Date
  readonly action: 'none' | 'aborted'
}

/** Open multipart uploads that no pending row waits for. Their parts cost money for ever and show in no listing of objects. */
export async function * reconcileMultiparts ({ objectStorage, inventory }: Services, { bucket, prefix, isOurs }: Place, { apply, strayBefore }: ObjectOptions): AsyncGenerator<MultipartFinding> {
  for await (const { key, multipartUploadId, initiatedAt } of objectStorage.listMultipartUploads(bucket, prefix)) {
    if (!isOurs(key) || initiatedAt >= strayBefore) continue
    const row = await inventory.rowOfKey(bucket, key)
    const isAwaited = row !== null && ['pending', 'verifying'].includes(row.status) && row.multipartUploadId === multipartUploadId
    if (isAwaited) continue
    if (apply) await objectStorage.abortMultipartUpload({ bucket, key }, multipartUploadId)
    yield { kind: 'multipart-without-row', bucket, key, initiatedAt, action: apply ? 'aborted' : 'none' }
  }
}
