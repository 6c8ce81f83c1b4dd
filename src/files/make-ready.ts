import type { Services } from '../services.js'
import type { ReadyFile, ScanningFile, VerifyingFile } from './file.js'
import type { Finding } from './file-row.js'
import { purgeLeftovers, purgeObject } from './purge-object.js'

/**
 * Makes an upload that was found good a file, or the content of the file that it replaces, and deletes what it
 * leaves in the bucket.
 * @returns null when someone else has decided in the meantime
 */
export async function makeReady (services: Services, file: VerifyingFile | ScanningFile, finding: Finding): Promise<ReadyFile | null> {
  const { files } = services
  const now = services.now()
  if (file.replaces === null) {
    const ready = await files.markReady(file, finding, now)
    if (ready) await purgeLeftovers(services, ready)
    return ready
  }
  const swapped = await files.markReadyReplacing(file, file.replaces, finding, now)
  if (swapped) await purgeLeftovers(services, swapped.ready)
  if (swapped?.old) await purgeObject(services, swapped.old)
  return swapped && swapped.ready
}
