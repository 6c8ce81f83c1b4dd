/**
 * Every error a client can receive: its code, which is the contract, its HTTP status and its title.
 * The table in the API documentation, the enum in `openapi.yaml` and the wire are all made from this one.
 */
export const errors = {
  INVALID_REQUEST: { status: 400, title: 'The request is not valid' },
  UNAUTHENTICATED: { status: 401, title: 'A valid token is needed' },
  SCOPE_MISSING: { status: 403, title: 'The token lacks a scope' },
  QUOTA_EXCEEDED: { status: 403, title: 'The quota is used up' },
  ORIGIN_NOT_ALLOWED: { status: 403, title: 'Pages of this origin may not use the cookie' },
  POLICY_FORBIDDEN: { status: 403, title: 'The policy does not allow this' },
  NOT_FOUND: { status: 404, title: 'There is nothing at this address' },
  POLICY_NOT_FOUND: { status: 404, title: 'There is no such policy' },
  FILE_NOT_FOUND: { status: 404, title: 'There is no such file' },
  UPLOAD_NOT_FOUND: { status: 404, title: 'There is no such upload' },
  DELIVERY_NOT_FOUND: { status: 404, title: 'There is no such delivery' },
  REQUEST_TIMEOUT: { status: 408, title: 'The request took too long to arrive' },
  FILE_NOT_READY: { status: 409, title: 'The file is not ready' },
  OBJECT_MISSING: { status: 409, title: 'The bytes have not arrived' },
  UPLOAD_ALREADY_COMPLETED: { status: 409, title: 'The upload is already completed' },
  VERDICT_CONFLICT: { status: 409, title: 'The file is decided already' },
  WEBHOOK_DISABLED: { status: 409, title: 'The webhook gets nothing at the moment' },
  UPLOAD_EXPIRED: { status: 410, title: 'The upload has ended' },
  FILE_TOO_LARGE: { status: 413, title: 'The file is too large' },
  BODY_TOO_LARGE: { status: 413, title: 'The request body is too large' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'The request body must be JSON' },
  CONTENT_TYPE_NOT_ALLOWED: { status: 415, title: 'The content type is not allowed' },
  OBJECT_MISMATCH: { status: 422, title: 'What arrived is not what was promised' },
  IDEMPOTENCY_KEY_REUSED: { status: 422, title: 'The idempotency key belongs to another request' },
  RATE_LIMITED: { status: 429, title: 'Too many requests' },
  HEADERS_TOO_LARGE: { status: 431, title: 'The request headers are too large' },
  INTERNAL_ERROR: { status: 500, title: 'Something went wrong here' },
  OBJECT_STORAGE_ERROR: { status: 502, title: 'The object storage did not answer as expected' },
  NOT_READY: { status: 503, title: 'The service is not ready' },
  AUTH_UNAVAILABLE: { status: 503, title: 'Tokens cannot be checked at the moment' },
  CLOCK_SKEW: { status: 503, title: 'The clock of this server is wrong' }
} as const satisfies Record<string, { readonly status: number, readonly title: string }>

export type ErrorCode = keyof typeof errors

export interface ApiErrorOptions {
  /** For logs only: never sent. */
  readonly cause?: unknown
  /** Sent as `Retry-After` and as `retryAfterSeconds`. */
  readonly retryAfterSeconds?: number
  /** Which fields of the request are wrong; with INVALID_REQUEST only. */
  readonly errors?: ReadonlyArray<{ readonly path: string, readonly message: string }>
}

/**
 * The one error that reaches a client as it is. `detail` is shown to people and says what to do next; it
 * never holds keys, SQL or what S3 said.
 */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  readonly title: string
  readonly retryAfterSeconds?: number
  readonly errors?: ApiErrorOptions['errors']

  constructor (readonly code: ErrorCode, readonly detail: string, options: ApiErrorOptions = {}) {
    super(`${code}: ${detail}`, { cause: options.cause })
    this.status = errors[code].status
    this.title = errors[code].title
    if (options.retryAfterSeconds !== undefined) this.retryAfterSeconds = options.retryAfterSeconds
    if (options.errors !== undefined) this.errors = options.errors
  }
}
