/** Where one object is. The key is one that this service made. */
export interface ObjectLocation {
  readonly bucket: string
  readonly key: string
}

/** A request that someone else may send as it is, until `expiresAt`. */
export interface PresignedRequest<Method extends string = string> {
  readonly method: Method
  readonly url: string
  /** Exactly the headers to send besides those that every HTTP client sets by itself. */
  readonly headers: Readonly<Record<string, string>>
  /** Never later than the end of the credentials that signed. */
  readonly expiresAt: Date
}

export interface PresignPut extends ObjectLocation {
  readonly contentType: string
  readonly sizeBytes: number
  /** Base64. */
  readonly checksumSha256: string | null
  /** The URL's life begins here, in whole seconds, not at the time of the call: the deadline in the row has to cover it. */
  readonly signedAt: Date
  readonly expiresInSeconds: number
}

export interface PresignGet extends ObjectLocation {
  readonly method: 'GET' | 'HEAD'
  readonly contentType: string
  readonly contentDisposition: string
  readonly signedAt: Date
  readonly expiresInSeconds: number
}

/** What the store says of an object. */
export interface StoredObject {
  readonly sizeBytes: number
  readonly etag: string
  readonly contentType: string
  /** Base64; null when the store keeps none. */
  readonly checksumSha256: string | null
  /** Headers that a client stored with the object although nobody signed them, in lower case: `content-encoding`, `x-amz-meta-…`. */
  readonly unsignedHeaders: readonly string[]
}

/**
 * The port to an S3 store. The two presign methods talk to nobody; the others ask the store, try a passing
 * fault up to three times and answer within ten seconds.
 *
 * Every method throws an ApiError: OBJECT_STORAGE_ERROR when the store does not answer, refuses, or answers
 * something that is not in its contract, with the cause for the log. A missing object is never an error.
 */
export interface ObjectStorage {
  /**
   * A create-only PUT that binds key, length, content type and, where given, the SHA-256. The store answers
   * 412 when the key holds an object already.
   */
  presignPut (put: PresignPut): Promise<PresignedRequest<'PUT'>>

  /** A GET or HEAD whose reply carries this content type and disposition, whatever the object was stored with. */
  presignGet (get: PresignGet): Promise<PresignedRequest<'GET' | 'HEAD'>>

  /**
   * Null only when the store says 404. A 403 is an error: stores answer it instead of 404 to a role that may
   * not list the bucket.
   */
  headObject (location: ObjectLocation): Promise<StoredObject | null>

  /**
   * The first bytes of exactly this version of an object: fewer than asked when it is shorter, null when the
   * object with this ETag is gone or changed. Not for empty objects, which have no ranges (416).
   */
  readFirstBytes (location: ObjectLocation, etag: string, count: number): Promise<Uint8Array | null>

  /** Safe to repeat: a missing object is deleted already. */
  deleteObject (location: ObjectLocation): Promise<void>

  /** Whether the bucket answers with these credentials, for the detail of `/readyz`. */
  isReachable (bucket: string): Promise<boolean>

  /** Ends connections. */
  close (): void
}
