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

/** What the one who gets an error does about it, for the catalogue in docs/errors.md. */
export const remedies: Readonly<Record<ErrorCode, string>> = {
  INVALID_REQUEST: 'Set right the fields that `errors` lists, and send the request again.',
  UNAUTHENTICATED: 'Get a fresh token and send it as `Authorization: Bearer …`; if a fresh one is refused too, compare its issuer, audience and claims with the configuration.',
  SCOPE_MISSING: 'Use a token with the scope that `detail` names.',
  QUOTA_EXCEEDED: 'Delete files or end uploads that are not complete; `GET /usage` tells what is held.',
  ORIGIN_NOT_ALLOWED: 'Send a token instead of the cookie, or have the operator add the origin of the page to CORS_ORIGINS.',
  POLICY_FORBIDDEN: 'Do what the policy allows; `GET /policies` lists those that the token may use.',
  NOT_FOUND: 'Compare method and path with `/openapi.yaml`.',
  POLICY_NOT_FOUND: 'Use one of the policies that `GET /policies` lists.',
  FILE_NOT_FOUND: 'Check the id and whose token it is: the files of others are not found either.',
  UPLOAD_NOT_FOUND: 'Check the id and whose token it is: the uploads of others are not found either.',
  DELIVERY_NOT_FOUND: 'List the deliveries again: old ones are forgotten.',
  REQUEST_TIMEOUT: 'Send the request again, over a better line if it happens often.',
  FILE_NOT_READY: 'Look at the status of the file: wait while it is on its way, and upload it anew when it is rejected.',
  OBJECT_MISSING: 'Send the bytes with the instructions of `GET /uploads/{id}`, then complete again.',
  UPLOAD_ALREADY_COMPLETED: 'Send nothing more: `GET /files/{id}` tells what became of it.',
  VERDICT_CONFLICT: 'Keep the first verdict; delete the file if it must go.',
  WEBHOOK_DISABLED: 'Have the operator enable the webhook or put it back into the policies file, then replay.',
  UPLOAD_EXPIRED: 'Create a new upload.',
  FILE_TOO_LARGE: 'Send a smaller file, or use a policy that takes more.',
  BODY_TOO_LARGE: 'Send less in one request; the bytes of files go to the store and not here.',
  UNSUPPORTED_MEDIA_TYPE: 'Send JSON with the header `content-type: application/json`.',
  CONTENT_TYPE_NOT_ALLOWED: 'Send a file of a type that the policy lists, in lower case and without parameters.',
  OBJECT_MISMATCH: 'Create a new upload that declares what the file really is; the bytes of this one are deleted.',
  IDEMPOTENCY_KEY_REUSED: 'Use a new key for a new request, and the old one for repeats of the very same request alone.',
  RATE_LIMITED: 'Wait for as long as `Retry-After` says.',
  HEADERS_TOO_LARGE: 'Send fewer or shorter headers: large cookies and tokens are the usual reason.',
  INTERNAL_ERROR: 'Try again; if it stays, give the operator the `requestId`.',
  OBJECT_STORAGE_ERROR: 'Try again after `Retry-After`; nothing is lost. Operators run `presignd doctor`.',
  NOT_READY: 'Try again after `Retry-After`. Operators look at `/readyz`.',
  AUTH_UNAVAILABLE: 'Try again after `Retry-After` with the same token; operators check that the issuer can be reached.',
  CLOCK_SKEW: 'Tell the operator, who sets the clock of the server by NTP.'
}

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
    const { stackTraceLimit } = Error
    // What a client did wrong is told by these words and not logged: taking a stack would be a tenth of refusing it.
    if (errors[code].status < 500) Error.stackTraceLimit = 0
    super(`${code}: ${detail}`, { cause: options.cause })
    Error.stackTraceLimit = stackTraceLimit
    this.status = errors[code].status
    this.title = errors[code].title
    if (options.retryAfterSeconds !== undefined) this.retryAfterSeconds = options.retryAfterSeconds
    if (options.errors !== undefined) this.errors = options.errors
  }
}
