import type { ObjectLocation } from '../object-storage/object-storage.js'
import { describeReply, isRefused, sendRequest, type Reply } from './send-request.js'
import { PROBE_BYTES, probePut, type Site } from './site.js'

/**
 * Puts an object that a question is about.
 * @throws when it does not arrive: the question cannot be asked
 */
export async function putObject (site: Site, location: ObjectLocation, bytes: Uint8Array = PROBE_BYTES): Promise<void> {
  checkTaken(await sendRequest(await site.storage.presignPut(probePut(location, { sizeBytes: bytes.length })), bytes))
}

/** @throws for a refusal, where none is the question */
export function checkTaken (reply: Reply): void {
  if (isRefused(reply)) throw new Error('a request was refused', { cause: Object.assign(new Error(), { code: describeReply(reply) }) })
}
