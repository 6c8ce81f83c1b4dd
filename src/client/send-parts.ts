import type { components } from './api-types.js'
import { callService, type Service } from './call-service.js'
import { PassingFault, retry } from './retry.js'
import { sendBytes } from './send-bytes.js'
import { UploadError } from './upload-error.js'
import { readSlice, type UploadSource } from './upload-source.js'

type PartInstructions = components['schemas']['PartInstructions']

export interface PartsOptions extends Service {
  /** Of the upload, below the service's address. */
  readonly path: string
  readonly concurrency: number
  readonly signal: AbortSignal | undefined
  readonly onProgress: (sentBytes: number) => void
}

/** Few enough to be used up before they expire, also on a slow line. */
const URLS_PER_CALL = 20

/**
 * Sends the parts that the storage does not have, several at a time. When one is given up, those under way are
 * finished, so that nothing of them is sent twice, and no other is begun.
 */
export async function sendParts (instructions: components['schemas']['MultipartInstructions'], file: UploadSource, options: PartsOptions): Promise<void> {
  const { partSizeBytes, partCount, parts, uploadedParts = [] } = instructions
  const { path, signal } = options
  const sentBytes = new Map(uploadedParts.map(part => [part.partNumber, part.sizeBytes]))
  const waiting = Array.from({ length: partCount }, (_, index) => index + 1).filter(partNumber => !sentBytes.has(partNumber))
  const urls = new Map(parts.map(part => [part.partNumber, part]))
  let asking: Promise<void> | undefined

  const report = (): void => options.onProgress([...sentBytes.values()].reduce((sum, bytes) => sum + bytes, 0))

  async function askForUrls (partNumber: number): Promise<void> {
    const partNumbers = [partNumber, ...waiting.filter(number => !urls.has(number))].slice(0, URLS_PER_CALL)
    const { body } = await callService<{ parts: PartInstructions[] }>(options, 'POST', `${path}/parts`, { body: { partNumbers }, signal })
    for (const part of body.parts) urls.set(part.partNumber, part)
    // Else it would be asked for without end.
    if (!urls.has(partNumber)) throw new UploadError('UNEXPECTED_REPLY', 200, `The service gave no URL for part ${partNumber}.`)
  }

  /** Gives a URL away: whoever comes again gets a fresh one. */
  async function takeUrl (partNumber: number): Promise<PartInstructions> {
    for (;;) {
      const part = urls.get(partNumber)
      if (urls.delete(partNumber) && part) return part
      // One question at a time, with one answer for all who wait.
      asking ??= askForUrls(partNumber).finally(() => { asking = undefined })
      await asking
    }
  }

  async function sendPart (partNumber: number): Promise<void> {
    const { url, headers, sizeBytes } = await takeUrl(partNumber)
    const start = (partNumber - 1) * partSizeBytes
    const body = await readSlice(file, start, start + sizeBytes)
    try {
      await sendBytes({
        method: 'PUT',
        url,
        headers,
        body,
        signal,
        onProgress: fraction => {
          sentBytes.set(partNumber, fraction * sizeBytes)
          report()
        }
      })
    } catch (fault) {
      // When one has expired, those that came with it have too.
      if (fault instanceof PassingFault && fault.reason.status === 403) urls.clear()
      throw fault
    }
  }

  async function work (): Promise<void> {
    for (let partNumber = waiting.shift(); partNumber !== undefined; partNumber = waiting.shift()) {
      const current = partNumber
      await retry(() => sendPart(current), signal, options.onRetry).catch((error: unknown) => {
        waiting.length = 0
        throw error
      })
    }
  }

  report()
  const ends = await Promise.allSettled(Array.from({ length: options.concurrency }, work))
  for (const end of ends) {
    if (end.status === 'rejected') throw end.reason
  }
}
