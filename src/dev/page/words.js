// What people read.

import { Problem } from './service.js'

export function explain (problem, { file, policy } = {}) {
  switch (problem.code) {
    case 'CONTENT_TYPE_NOT_ALLOWED':
      return policy ? `This kind of file is not accepted here. ${kindsOf(policy)} will do.` : problem.message
    case 'FILE_TOO_LARGE':
      return policy && file
        ? `This file is too large: it has ${formatSize(file.size)}, and the limit is ${formatSize(policy.maxSizeBytes)}.`
        : problem.message
    case 'ANOTHER_FILE': return `That was another file. To go on, choose ${file.name} of ${formatSize(file.size)} as it was.`
    case 'FILE_EMPTY': return 'This file is empty.'
    case 'QUOTA_EXCEEDED': return 'Your space is used up. Delete something first.'
    case 'NETWORK_ERROR': return file ? 'The connection was lost. Your file is kept here: try again.' : problem.message
    case 'STORAGE_ERROR': return problem.status === 403
      ? 'The permission to upload has run out. Your file is kept here: try again.'
      : `${problem.message}. Your file is kept here: try again.`
    case 'OBJECT_MISSING': return 'The file has not arrived. It is kept here: try again.'
    // The first sentence says what is wrong; the rest is for those who program.
    case 'OBJECT_MISMATCH': return `${problem.message.split(/(?<=[.!])\s/)[0]} It was not kept.`
    case 'UPLOAD_EXPIRED':
    case 'UPLOAD_NOT_FOUND': return 'This upload has ended. Choose the file again.'
    case 'UNAUTHENTICATED': return 'Your session has expired. Sign in again, then go on.'
    case 'RATE_LIMITED': return 'That was a lot at once. Wait a moment, then try again.'
    case 'FILE_NOT_FOUND': return 'This file is gone.'
    default: return problem.message
  }
}

/** What the policy already tells is said before anything is sent. */
export function findProblem (file, policy) {
  const type = file.type || 'application/octet-stream'
  const isAllowed = policy.contentTypes.some(allowed => allowed === type ||
    (allowed.endsWith('/*') && type.startsWith(allowed.slice(0, -1)) && !type.endsWith('+xml')))
  if (!isAllowed) return new Problem('CONTENT_TYPE_NOT_ALLOWED', '')
  if (file.size > policy.maxSizeBytes) return new Problem('FILE_TOO_LARGE', '')
  if (file.size === 0 || file.size < (policy.minSizeBytes ?? 0)) return new Problem('FILE_EMPTY', '')
  return null
}

const KIND_NAMES = new Map([
  ['image/*', 'pictures'], ['image/jpeg', 'JPEG'], ['image/svg+xml', 'SVG'], ['text/plain', 'plain text'], ['video/*', 'videos'], ['audio/*', 'sound'],
  ['image/webp', 'WebP'], ['video/webm', 'WebM']
])

export function kindsOf (policy) {
  const names = policy.contentTypes.map(type => KIND_NAMES.get(type) ?? type.split('/')[1].toUpperCase())
  const last = names.at(-1)
  const text = names.length > 1 ? `${names.slice(0, -1).join(', ')} or ${last}` : last
  return text[0].toUpperCase() + text.slice(1)
}

/** A word for the corner where a picture would be. */
export function kindOf (contentType) {
  if (contentType === 'text/plain') return 'TEXT'
  return (contentType.split('/')[1] ?? '').split(/[.+-]/).at(-1).slice(0, 5).toUpperCase()
}

export function formatSize (bytes) {
  if (bytes < 1024) return bytes === 1 ? '1 byte' : `${bytes} bytes`
  const units = ['KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes / 1024
  let unit = 0
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024
  // Rounded up, so that a file just over a limit never seems to be just under it.
  return `${Math.ceil(value * 10) / 10} ${units[unit]}`
}

export const formatDate = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit' })
