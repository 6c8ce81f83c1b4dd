// A large file in parts, several at a time.
/* global AbortController, AbortSignal */

import { PartUrls } from './part-urls.js'
import { send } from './storage-request.js'
import { retry } from './wait.js'

/** With two files at a time these are the six connections that a browser opens to one server. */
const PARTS_AT_ONCE = 3

/** Sends the parts that the storage does not have yet. A part that fails is tried again; when it is given up, so are the others. */
export async function sendParts (instructions, file, { id, onProgress, signal }) {
  const { partSizeBytes, partCount, parts, uploadedParts = [] } = instructions
  const sentBytes = new Map(uploadedParts.map(part => [part.partNumber, part.sizeBytes]))
  const waiting = Array.from({ length: partCount }, (_, index) => index + 1).filter(number => !sentBytes.has(number))
  const urls = new PartUrls(id, waiting, parts)
  const ending = new AbortController()
  const either = AbortSignal.any([signal, ending.signal])

  async function sendPart (partNumber) {
    const { url, headers, sizeBytes } = await urls.take(partNumber)
    const start = (partNumber - 1) * partSizeBytes
    try {
      await send('PUT', url, {
        headers,
        body: file.slice(start, start + sizeBytes),
        signal: either,
        onProgress: fraction => {
          sentBytes.set(partNumber, fraction * sizeBytes)
          onProgress(sum(sentBytes.values()) / file.size)
        }
      })
    } catch (problem) {
      if (problem.code === 'URL_EXPIRED') urls.forget()
      throw problem
    }
  }

  async function work () {
    for (let partNumber = waiting.shift(); partNumber !== undefined; partNumber = waiting.shift()) {
      const current = partNumber
      await retry(() => sendPart(current), either)
    }
  }

  onProgress(sum(sentBytes.values()) / file.size)
  try {
    await Promise.all(Array.from({ length: PARTS_AT_ONCE }, work))
  } finally {
    ending.abort()
  }
}

function sum (numbers) {
  let total = 0
  for (const number of numbers) total += number
  return total
}
