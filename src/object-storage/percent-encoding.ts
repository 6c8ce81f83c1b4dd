/** A key as the path of a URL, without the slash before it. */
export function encodePath (key: string): string {
  return /^[\w.~/-]*$/.test(key) ? key : key.split('/').map(encode).join('/')
}

/** Every byte but the unreserved ones of RFC 3986. */
export function encode (text: string): string {
  if (/^[\w.~-]*$/.test(text)) return text
  return encodeURIComponent(text).replace(/[!'()*]/g, character => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}
