/** File systems take 255 bytes in a name: https://www.man7.org/linux/man-pages/man7/path_resolution.7.html */
const MAX_FILENAME_BYTES = 255

/**
 * What can hide, break or redirect a file name: control (Cc), invisible and bidirectional (Cf, Unicode TR36
 * section 3), line and paragraph separators (Zl, Zp) and half surrogates (Cs).
 */
const HARMFUL = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu

/** The file name that is kept: the last segment of a path, without harmful characters, of 1 to 255 bytes. */
export function cleanFilename (filename: string): string {
  // Most names are such already.
  if (/^\w(?:[\w .()-]{0,200}\w)?$/.test(filename)) return filename
  const name = filename.split(/[/\\]/).at(-1)?.replace(HARMFUL, '').trim() ?? ''
  const cut = trimToBytes(name, MAX_FILENAME_BYTES)
  return cut === '' || /^\.+$/.test(cut) ? 'file' : cut
}

/** Keeps the extension, and never cuts inside a character. */
function trimToBytes (name: string, maxBytes: number): string {
  if (Buffer.byteLength(name) <= maxBytes) return name
  const extension = /\.[A-Za-z0-9]{1,10}$/.exec(name)?.[0] ?? ''
  let kept = ''
  let bytes = Buffer.byteLength(extension)
  for (const character of name.slice(0, name.length - extension.length)) {
    bytes += Buffer.byteLength(character)
    if (bytes > maxBytes) break
    kept += character
  }
  return kept + extension
}
