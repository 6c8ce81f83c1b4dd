import { fileTypeFromBuffer, supportedMimeTypes } from 'file-type'

/** How much of an object is looked at. */
export const SIGNATURE_BYTES = 4096

/**
 * Types whose first bytes look alike, or that go by several names. A declared type is believed when the bytes
 * show any type of its family. Formats inside a ZIP are checked as ZIP.
 */
const FAMILIES: ReadonlyArray<readonly string[]> = [
  ['image/jpeg', 'image/jpg', 'image/pjpeg'],
  ['image/png', 'image/apng', 'image/x-png'],
  ['image/heic', 'image/heif', 'image/heic-sequence', 'image/heif-sequence'],
  ['image/bmp', 'image/x-bmp', 'image/x-ms-bmp'],
  ['image/x-icon', 'image/vnd.microsoft.icon'],
  ['image/tiff', 'image/x-adobe-dng', 'image/x-canon-cr2', 'image/x-nikon-nef', 'image/x-sony-arw'],
  ['video/mp4', 'audio/mp4', 'audio/m4a', 'audio/x-m4a', 'video/x-m4v', 'video/quicktime', 'video/3gpp', 'video/3gpp2', 'audio/3gpp', 'application/mp4'],
  ['video/webm', 'audio/webm', 'video/matroska', 'video/x-matroska', 'audio/matroska', 'audio/x-matroska'],
  ['audio/ogg', 'video/ogg', 'application/ogg', 'audio/opus', 'audio/ogg; codecs=opus'],
  ['audio/wav', 'audio/x-wav', 'audio/wave', 'audio/vnd.wave'],
  ['audio/mpeg', 'audio/mp3', 'audio/x-mpeg'],
  ['audio/flac', 'audio/x-flac'],
  ['audio/aac', 'audio/aacp', 'audio/x-aac'],
  ['audio/aiff', 'audio/x-aiff'],
  ['audio/midi', 'audio/mid', 'audio/x-midi'],
  ['video/vnd.avi', 'video/x-msvideo', 'video/avi'],
  ['video/mpeg', 'video/MP1S', 'video/MP2P'],
  ['application/vnd.ms-asf', 'video/x-ms-asf', 'audio/x-ms-asf', 'video/x-ms-wmv', 'audio/x-ms-wma'],
  ['application/gzip', 'application/x-gzip'],
  ['application/vnd.rar', 'application/x-rar-compressed', 'application/x-rar'],
  ['application/x-cfb', 'application/msword', 'application/vnd.ms-excel', 'application/vnd.ms-powerpoint', 'application/vnd.ms-outlook'],
  ['application/rtf', 'text/rtf'],
  ['font/ttf', 'font/otf', 'font/collection', 'font/sfnt'],
  [
    'application/zip', 'application/x-zip-compressed', 'application/epub+zip', 'application/java-archive', 'application/vnd.android.package-archive', 'model/3mf',
    ...[...supportedMimeTypes].filter(type => /opendocument|openxmlformats|macroenabled/.test(type))
  ]
]
const familyOf = new Map(FAMILIES.flatMap(family => family.map(type => [type, family] as const)))

const EXECUTABLES = new Set<string>(['application/x-elf', 'application/x-mach-binary', 'application/x-msdownload'])
const MARKUP_TYPES = new Map<string, RegExp>([
  ['HTML', /^(text\/html|application\/xhtml\+xml)$/],
  ['SVG', /^image\/svg\+xml$/],
  ['XML', /^(text\/xml|application\/xml|(?!image\/svg).*\+xml)$/],
  ['a script', /^(text|application)\/(x-)?(javascript|ecmascript|sh|shellscript|python|perl|php|httpd-php)$/]
])

/**
 * Why these first bytes cannot be of the declared type, in words for people; null when they can. Types that
 * have no signature pass unless the bytes are markup, a script or an executable in disguise. A polyglot that
 * begins as its declared type passes: it is contained by how files are served.
 */
export async function findContentMismatch (declared: string, bytes: Uint8Array): Promise<string | null> {
  const markup = findMarkup(bytes)
  if (markup !== null && !MARKUP_TYPES.get(markup)?.test(declared)) return `The file is declared as ${declared}, but it is ${markup}.`
  if (isText(declared)) {
    if (declared === 'image/svg+xml' && markup === null) return 'The file is declared as image/svg+xml, but it is not SVG.'
    return isBinary(bytes) ? `The file is declared as ${declared}, but it is not text.` : null
  }
  const detected = await detectContentType(bytes)
  if (detected !== null && EXECUTABLES.has(detected) && detected !== declared) return `The file is declared as ${declared}, but it is a program.`
  const family = familyOf.get(declared) ?? [declared]
  const hasSignature = family.some(type => (supportedMimeTypes as ReadonlySet<string>).has(type))
  if (!hasSignature || (detected !== null && family.includes(detected))) return null
  return `The file is declared as ${declared}, but its first bytes are those of ${detected ?? 'something else'}.`
}

function isText (contentType: string): boolean {
  return (contentType.startsWith('text/') && contentType !== 'text/rtf') || /^application\/(json|xml|javascript|yaml|toml|x-ndjson)$|\+(json|xml|yaml)$/.test(contentType)
}

async function detectContentType (bytes: Uint8Array): Promise<string | null> {
  const detected = (await fileTypeFromBuffer(bytes))?.mime
  // An ID3 tag may hold a cover picture and be longer than the sample: https://id3.org/id3v2.4.0-structure
  if (detected === undefined && startsWith(bytes, 'ID3')) return 'audio/mpeg'
  return detected ?? null
}

/** Text has no zero bytes but in UTF-16, which says so by its byte order mark; and it is no PDF. */
function isBinary (bytes: Uint8Array): boolean {
  const hasByteOrderMark = startsWith(bytes, '\xff\xfe') || startsWith(bytes, '\xfe\xff')
  return startsWith(bytes, '%PDF-') || (hasByteOrderMark ? decode(bytes).includes('\0') : bytes.includes(0))
}

/** What a browser or a shell would take these bytes for. @see https://mimesniff.spec.whatwg.org/#identifying-a-resource-with-an-unknown-mime-type */
function findMarkup (bytes: Uint8Array): string | null {
  const text = decode(bytes).replace(/^[\ufeff\t\n\f\r ]+/, '')
  if (/^(#!|<\?php|<%)/i.test(text)) return 'a script'
  if (/^<svg[\s>]/i.test(text)) return 'SVG'
  if (/^(<!--|<(!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p)[\s/>])/i.test(text)) return /^<!--[^]*?-->\s*<svg[\s>]/i.test(text) ? 'SVG' : 'HTML'
  if (!/^<(\?xml|!doctype|!entity)/i.test(text)) return null
  return /<svg[\s>]/i.test(text) ? 'SVG' : /<(\w+:)?html[\s>]/i.test(text) ? 'HTML' : 'XML'
}

/** UTF-16 by its byte order mark, or by the zero byte that its first ASCII character has; else one character per byte. */
function decode (bytes: Uint8Array): string {
  const [first, second] = bytes
  const isLittleEndian = (first === 0xff && second === 0xfe) || (first !== 0 && second === 0)
  const isBigEndian = (first === 0xfe && second === 0xff) || (first === 0 && second !== 0 && second !== undefined)
  if (isLittleEndian) return new TextDecoder('utf-16le').decode(bytes)
  if (isBigEndian) return new TextDecoder('utf-16be').decode(bytes)
  return new TextDecoder('utf-8').decode(bytes)
}

function startsWith (bytes: Uint8Array, prefix: string): boolean {
  return Buffer.from(bytes.subarray(0, prefix.length)).toString('latin1') === prefix
}
