// The presigned URLs of the parts that are still to be sent.

import { call } from './service.js'

// Few enough to be used up before they expire, also on a slow line.
const PARTS_PER_CALL = 20

export class PartUrls {
  #id
  #waiting
  #parts = new Map()
  #asking = null

  /** `waiting` are the numbers of the parts that nobody has begun; it may change. `parts` came with the instructions. */
  constructor (id, waiting, parts) {
    this.#id = id
    this.#waiting = waiting
    this.#add(parts)
  }

  /** Gives the instructions for one part away: whoever needs them again gets fresh ones. */
  async take (partNumber) {
    while (!this.#parts.has(partNumber)) {
      // One question at a time, with one answer for all who wait.
      this.#asking ??= this.#ask(partNumber).finally(() => { this.#asking = null })
      await this.#asking
    }
    const part = this.#parts.get(partNumber)
    this.#parts.delete(partNumber)
    return part
  }

  /** When one has expired, those that came with it have too. */
  forget () {
    this.#parts.clear()
  }

  async #ask (partNumber) {
    const next = this.#waiting.filter(number => !this.#parts.has(number))
    const { json } = await call('POST', `/uploads/${this.#id}/parts`, { partNumbers: [partNumber, ...next].slice(0, PARTS_PER_CALL) })
    this.#add(json.parts)
  }

  #add (parts) {
    for (const part of parts) this.#parts.set(part.partNumber, part)
  }
}
