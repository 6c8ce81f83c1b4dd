// One request to the object storage.
/* global Blob, XMLHttpRequest, setTimeout, clearTimeout */

import { Problem } from './service.js'

// What a browser sets by itself and lets no page set.
const BROWSER_HEADERS = new Set(['content-length', 'host'])
// A connection that died without a word would be waited for without end.
const STALL_MS = 60_000

/**
 * Resolves when the storage has the body. `onProgress` gets a number from 0 to 1, and 0 again when it was all in vain.
 * Gives up when the signal says so.
 */
export function send (method, url, { headers = {}, body, onProgress, signal }) {
  // XMLHttpRequest, since fetch does not tell how much it has sent.
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const request = new XMLHttpRequest()
    const stop = () => request.abort()
    const fail = problem => {
      onProgress(0)
      reject(problem)
    }
    let stalled
    const watch = () => {
      clearTimeout(stalled)
      stalled = setTimeout(stop, STALL_MS)
    }
    request.open(method, url)
    for (const [name, value] of Object.entries(headers)) {
      if (!BROWSER_HEADERS.has(name.toLowerCase())) request.setRequestHeader(name, value)
    }
    request.upload.onprogress = event => {
      watch()
      if (event.lengthComputable) onProgress(event.loaded / event.total)
    }
    request.onload = () => {
      const problem = findProblem(request.status)
      if (problem) return fail(problem)
      onProgress(1)
      resolve()
    }
    request.onerror = async () => fail(await isReadable(body) ? connectionLost() : fileChanged())
    request.onabort = () => fail(signal.aborted ? signal.reason : connectionLost())
    request.onloadend = () => {
      clearTimeout(stalled)
      signal.removeEventListener('abort', stop)
    }
    signal.addEventListener('abort', stop)
    watch()
    request.send(body)
  })
}

function findProblem (status) {
  // 412: the object is already there, so an earlier try had come through.
  if ((status >= 200 && status < 300) || status === 412) return null
  if (status === 403) return new Problem('URL_EXPIRED', 'The permission to upload has run out. Your file is kept here: try again.', { isTransient: true })
  return new Problem('STORAGE', `The storage answered ${status}. Your file is kept here: try again.`, { isTransient: status >= 500 || status === 429 || status === 408 })
}

function connectionLost () {
  return new Problem('CONNECTION_LOST', 'The connection was lost. Your file is kept here: try again.', { isTransient: true })
}

function fileChanged () {
  return new Problem('FILE_CHANGED', 'The file on your disk has changed or is gone. Choose it again.')
}

/** A file that cannot be read looks like a lost connection. */
async function isReadable (body) {
  return !(body instanceof Blob) || await body.slice(0, 1).arrayBuffer().then(() => true, () => false)
}
