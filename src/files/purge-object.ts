import type { Services } from '../services.js'
import type { File } from './file.js'

/**
 * Deletes the object of a tombstone. The row, which is committed before, keeps the answer; a store that does
 * not answer leaves the object to the next purge.
 */
export async function purgeObject (services: Services, tombstone: File): Promise<void> {
  try {
    await services.objectStorage.deleteObject(tombstone)
    await services.files.markPurged(tombstone.id, services.now())
  } catch (error) {
    services.log.warn({ err: error, fileId: tombstone.id }, 'the object of a tombstone could not be deleted yet')
  }
}
