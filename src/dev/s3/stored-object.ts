import type { Checksum, ChecksumAlgorithm, ChecksumType } from './checksums.js'
import type { Segment } from './files.js'

/** The headers that S3 keeps with an object and sends back on GET and HEAD. */
export interface ObjectHeaders {
  /** content-type, cache-control and the like, by lower-case name. */
  readonly system: Readonly<Record<string, string>>
  /** By lower-case name without `x-amz-meta-`. */
  readonly metadata: Readonly<Record<string, string>>
  readonly storageClass: string
}

/** One object as its JSON file says it; replaced as a whole, so a reader sees one version of everything. */
export interface StoredObject {
  readonly key: string
  /** Hex, without quotes. */
  readonly etag: string
  readonly sizeBytes: number
  /** ISO 8601, whole seconds as in the Last-Modified header. */
  readonly lastModified: string
  readonly headers: ObjectHeaders
  readonly checksum?: Checksum | undefined
  readonly segments: readonly Segment[]
}

export interface StoredPart {
  readonly partNumber: number
  readonly etag: string
  readonly sizeBytes: number
  readonly lastModified: string
  readonly checksum?: { readonly algorithm: ChecksumAlgorithm, readonly value: string } | undefined
  readonly segment: Segment
}

/** A multipart upload as its JSON file says it; its parts are files beside it. */
export interface StoredUpload {
  readonly uploadId: string
  readonly key: string
  readonly initiatedAt: string
  readonly headers: ObjectHeaders
  readonly checksum?: { readonly algorithm: ChecksumAlgorithm, readonly type: ChecksumType } | undefined
}

export interface CorsRule {
  readonly id?: string | undefined
  readonly allowedOrigins: readonly string[]
  readonly allowedMethods: readonly string[]
  readonly allowedHeaders: readonly string[]
  readonly exposeHeaders: readonly string[]
  readonly maxAgeSeconds?: number | undefined
}

export interface StoredBucket {
  readonly name: string
  readonly createdAt: string
  readonly cors?: readonly CorsRule[] | undefined
  /** The document as it was put; nothing is ever expired by it. */
  readonly lifecycleXml?: string | undefined
}
