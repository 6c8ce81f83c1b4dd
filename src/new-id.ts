import { randomUUID } from 'node:crypto'

/**
 * A UUID of version 7: new rows are neighbours in every index, and its 74 random bits cannot be guessed. It tells when it
 * was made, to the millisecond. RFC 9562 section 5.7.
 */
export function newId (milliseconds: number = Date.now()): string {
  if (milliseconds !== beginning.milliseconds) {
    const time = milliseconds.toString(16).padStart(12, '0')
    beginning = { milliseconds, text: `${time.slice(0, 8)}-${time.slice(8)}-7` }
  }
  // The variant and everything behind it are where version 4 has them, too.
  return beginning.text + randomUUID().slice(15)
}

/** Under load many ids of one millisecond are made. */
let beginning = { milliseconds: NaN, text: '' }
