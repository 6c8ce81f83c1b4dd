/** What to call an error in a line that everyone may read: codes alone, since messages may hold addresses and keys. */
export function describeError (error: unknown): string {
  let found = 'an unknown error'
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    const { code, name } = cause as { code?: unknown, name: string }
    if (typeof code === 'string') found = code
    // What came without a document, as every answer to a HEAD does, has its status alone.
    else if (name.startsWith('Unknown')) found = String(statusOf(cause) ?? name)
    else if (name !== 'Error') found = name
  }
  return found
}

/** Whether the store said that these credentials may not do it. */
export function isDenied (error: unknown): boolean {
  return ['AccessDenied', 'Forbidden', '403'].includes(describeError(error))
}

/** Whether the store said that it has no such thing. */
export function isUnsupported (error: unknown): boolean {
  return ['NotImplemented', 'MethodNotAllowed', '501', '405'].includes(describeError(error))
}

function statusOf (error: Error): number | undefined {
  return (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode
}
