import type { Disposition } from '../policies/policy.js'

/**
 * What a browser may show by itself: nothing here can run script in the bucket's origin. Everything else, HTML and whatever is
 * XML by its name (https://mimesniff.spec.whatwg.org/#xml-mime-type), SVG above all, is an attachment whatever was asked for.
 */
const INLINE_TYPES = /^(image\/(png|apng|jpeg|gif|webp|avif|bmp|heic|heif|tiff|x-icon)|(audio|video)\/(?![a-z0-9.+-]*\+xml$)[a-z0-9.+-]+|text\/plain|application\/pdf)$/

export function allowedDisposition (contentType: string, wanted: Disposition): Disposition {
  return wanted === 'inline' && INLINE_TYPES.test(contentType) ? 'inline' : 'attachment'
}

/**
 * A Content-Disposition with the name twice: for old clients in plain ASCII (RFC 6266 section 4.3) and for all
 * others in full (RFC 8187 section 3.2). Takes a clean file name.
 */
export function renderContentDisposition (disposition: Disposition, filename: string): string {
  const fallback = filename.normalize('NFKD').replace(/[^\x20-\x7e]/g, '').replace(/["\\%]/g, '_').trim() || 'file'
  if (fallback === filename) return `${disposition}; filename="${fallback}"`
  return `${disposition}; filename="${fallback}"; filename*=UTF-8''${encodeExtended(filename)}`
}

/** `encodeURIComponent` leaves four characters that RFC 8187 does not allow as they are. */
function encodeExtended (value: string): string {
  return encodeURIComponent(value).replace(/['()*]/g, character => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}
