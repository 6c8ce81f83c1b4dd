// One function per method of upload instructions. Each one resolves when the bytes are there, reports progress as a
// number from 0 to 1, and gives up when the signal says so. Another method is another entry.
/* global FormData */

import { sendParts } from './multipart.js'
import { send } from './storage-request.js'

export const senders = {
  PUT: ({ url, headers }, file, { onProgress, signal }) => send('PUT', url, { headers, body: file, onProgress, signal }),

  POST: ({ url, fields }, file, { onProgress, signal }) => {
    const form = new FormData()
    for (const [name, value] of Object.entries(fields)) form.append(name, value)
    form.append('file', file)
    return send('POST', url, { body: form, onProgress, signal })
  },

  multipart: sendParts
}
