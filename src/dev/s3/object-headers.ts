import { S3Error } from './s3-error.js'
import type { ObjectHeaders } from './stored-object.js'

/** @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html (system-defined metadata) */
const systemHeaders = ['cache-control', 'content-disposition', 'content-encoding', 'content-language', 'content-type', 'expires', 'x-amz-website-redirect-location']

const storageClasses = new Set(['STANDARD', 'REDUCED_REDUNDANCY', 'STANDARD_IA', 'ONEZONE_IA', 'INTELLIGENT_TIERING', 'GLACIER', 'DEEP_ARCHIVE', 'GLACIER_IR'])

/** User-defined metadata may take 2 KB, names and values together. */
const maxMetadataBytes = 2048

const metadataPrefix = 'x-amz-meta-'

/** aws-chunked says how the body travelled, not what was stored. */
function withoutAwsChunked (encoding: string): string {
  return encoding.split(',').map((token) => token.trim()).filter((token) => token !== 'aws-chunked' && token !== '').join(',')
}

/** What an object keeps of the headers of a request or the fields of a form, whose names are lower case. */
export function pickObjectHeaders (given: ReadonlyMap<string, string>): ObjectHeaders {
  const system: Record<string, string> = { 'content-type': 'binary/octet-stream' }
  for (const name of systemHeaders) {
    const value = given.get(name)
    const kept = value !== undefined && name === 'content-encoding' ? withoutAwsChunked(value) : value
    if (kept !== undefined && kept !== '') system[name] = kept
  }
  const redirect = system['x-amz-website-redirect-location']
  if (redirect !== undefined && !/^(?:\/|https?:\/\/)/.test(redirect)) {
    throw new S3Error('InvalidRequest', 'The website redirect location must have a prefix of \'http://\' or \'https://\' or \'/\'.')
  }
  const metadata = [...given].filter(([name]) => name.startsWith(metadataPrefix)).map(([name, value]) => [name.slice(metadataPrefix.length), value] as const)
  const metadataBytes = metadata.reduce((sum, [name, value]) => sum + Buffer.byteLength(name) + Buffer.byteLength(value), 0)
  if (metadataBytes > maxMetadataBytes) throw new S3Error('MetadataTooLarge', undefined, { Size: String(metadataBytes), MaxSizeAllowed: String(maxMetadataBytes) })
  const storageClass = given.get('x-amz-storage-class') ?? 'STANDARD'
  if (!storageClasses.has(storageClass)) throw new S3Error('InvalidStorageClass')
  return { system, metadata: Object.fromEntries(metadata), storageClass }
}

export function joinHeaders (headers: ReadonlyMap<string, readonly string[]>): Map<string, string> {
  return new Map([...headers].map(([name, values]) => [name, values.join(',')]))
}

/** The headers as GET and HEAD send them; S3 names the storage class only when it is not the default. */
export function renderObjectHeaders ({ system, metadata, storageClass }: ObjectHeaders): Record<string, string> {
  return {
    ...system,
    ...Object.fromEntries(Object.entries(metadata).map(([name, value]) => [`${metadataPrefix}${name}`, value])),
    ...(storageClass === 'STANDARD' ? {} : { 'x-amz-storage-class': storageClass })
  }
}
