import { ConfigError } from '../config.js'
import { PolicyFileError } from '../policies/load-policies.js'

/** What to print when the process cannot start: each problem in one line with what to do, and no stack. */
export function explainStartError (error: unknown): readonly string[] {
  if (error instanceof ConfigError || error instanceof PolicyFileError) return error.problems
  const { code, port, message } = error as NodeJS.ErrnoException & { port?: number }
  if (code === 'EADDRINUSE') return [`port ${port} is taken: choose another with PORT`]
  if (code === 'EACCES' && port !== undefined) return [`port ${port} may not be used by this user: choose one above 1023 with PORT`]
  const reasons = []
  for (let cause: unknown = error; cause instanceof Error && reasons.length < 4; cause = cause.cause) reasons.push(cause.message || (cause as NodeJS.ErrnoException).code)
  return [reasons.join(': ') || message]
}
