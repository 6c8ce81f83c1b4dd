// What this browser remembers of uploads that are not finished: enough to find the upload and to know the file again.
// No URL and no token is kept. One entry per upload, so that two tabs never overwrite each other's.
/* global localStorage */

const keyOf = (owner, id) => `unfinished/${encodeURIComponent(owner)}/${id}`

export function remember (owner, { id, name, size, lastModified, policy }) {
  try {
    localStorage.setItem(keyOf(owner, id), JSON.stringify({ id, name, size, lastModified, policy }))
  } catch {
    // Storage that is full or switched off: the upload works, it is only not found again after a reload.
  }
}

export function forget (owner, id) {
  try {
    localStorage.removeItem(keyOf(owner, id))
  } catch {}
}

export function isRemembered (owner, id) {
  return listRemembered(owner).some(entry => entry.id === id)
}

export function listRemembered (owner) {
  try {
    const prefix = keyOf(owner, '')
    return Object.keys(localStorage).filter(key => key.startsWith(prefix)).map(key => JSON.parse(localStorage.getItem(key)))
  } catch {
    return []
  }
}

/** Whether this may be the file that the entry was made from. */
export function isSameFile (file, entry) {
  return file.name === entry.name && file.size === entry.size && file.lastModified === entry.lastModified
}
