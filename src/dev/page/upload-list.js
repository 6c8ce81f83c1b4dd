// The uploads that are going on, and those that may go on.
/* global document, window */

import { announce, at } from './elements.js'
import { addToGallery } from './gallery.js'
import { whenIdle } from './one-tab.js'
import { call, Problem, session } from './service.js'
import { forget, isRemembered, isSameFile, listRemembered } from './unfinished.js'
import { Upload } from './upload.js'
import { UploadRow } from './upload-row.js'
import { findProblem } from './words.js'

const rows = new Map() // by Upload

export function addUploads (files, policy) {
  for (const file of files) {
    const waiting = [...rows.keys()].find(upload => upload.state === 'unfinished' && isSameFile(file, upload.file))
    if (waiting) goOn(waiting, file)
    else addUpload(file, policy)
  }
}

/** Lists what this user has begun in this browser and not finished. What the service has ended is forgotten. */
export function showUnfinished () {
  for (const entry of listRemembered(session.sub)) {
    // Each by itself: one may be going on in another tab for an hour.
    showEntry(entry).catch(problem => { if (!(problem instanceof Problem)) throw problem })
  }
}

/** Stops the uploads of everybody else and takes their rows away; they stay remembered. */
export function keepUploadsOf (sub) {
  for (const upload of [...rows.keys()]) {
    if (upload.owner === sub) continue
    upload.leave()
    removeRow(upload)
  }
}

function addUpload (file, policy) {
  const problem = findProblem(file, policy)
  const upload = createUpload({ file, policy: policy.name, owner: session.sub }, { policy })
  if (problem) upload.refuse(problem)
  else start(upload)
}

async function showEntry (entry) {
  const owner = session.sub
  await whenIdle(entry.id)
  const isWanted = () => session?.sub === owner && isRemembered(owner, entry.id) && ![...rows.keys()].some(upload => upload.id === entry.id)
  if (!isWanted()) return
  const found = await findUpload(entry.id)
  if (!isWanted()) return
  if (found?.file.status !== 'pending' && found?.file.status !== 'verifying') return forget(owner, entry.id)

  const upload = createUpload({ file: entry, policy: entry.policy, owner, id: entry.id }, { contentType: found.file.contentType })
  const uploadedBytes = (found.upload?.uploadedParts ?? []).reduce((sum, part) => sum + part.sizeBytes, 0)
  upload.progress = entry.size === 0 ? 0 : uploadedBytes / entry.size
  // When all has arrived, there is nothing to choose.
  if (found.upload) upload.needFile()
  else start(upload)
}

async function findUpload (id) {
  try {
    return await call('GET', `/uploads/${id}`)
  } catch (problem) {
    if (problem.code === 'UPLOAD_NOT_FOUND') return null
    throw problem
  }
}

function createUpload (given, { policy, contentType }) {
  const upload = new Upload(given, upload => rows.get(upload)?.show(upload))
  const row = new UploadRow(upload, {
    policy,
    contentType,
    onStart: () => start(upload),
    onFile: file => goOn(upload, file),
    onRemove: () => {
      upload.cancel()
      removeRow(upload)
      at('files').focus()
    }
  })
  rows.set(upload, row)
  at('uploads').prepend(row.element)
  return upload
}

function goOn (upload, file) {
  if (!isSameFile(file, upload.file)) return upload.needFile(new Problem('ANOTHER_FILE', ''))
  upload.file = file
  rows.get(upload).showPicture(file)
  start(upload)
}

async function start (upload) {
  await upload.start()
  if (upload.state !== 'done') return
  const hadFocus = rows.get(upload)?.element.contains(document.activeElement)
  removeRow(upload)
  const item = addToGallery(upload.result)
  announce(`${upload.result.filename} is uploaded.`)
  if (hadFocus) item.querySelector('button').focus()
}

function removeRow (upload) {
  rows.get(upload)?.remove()
  rows.delete(upload)
}

// Back on the line, nobody needs to click.
window.addEventListener('online', () => {
  for (const upload of rows.keys()) {
    if (['retrying', 'interrupted'].includes(upload.state) && upload.problem.code === 'NETWORK_ERROR') start(upload)
  }
})

window.addEventListener('beforeunload', event => {
  if ([...rows.keys()].some(upload => upload.isActive)) event.preventDefault()
})
