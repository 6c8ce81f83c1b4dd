import { ConfigError } from '../config.js'
import { PolicyFileError } from '../policies/load-policies.js'

/** What to print when the process cannot start: each problem in one line with what to do, and no stack. */
export function explainStartError (error: unknown): readonly string[] {
  if (error instanceof ConfigError || error instanceof PolicyFileError) return error.problems
  const { code, syscall, address, hostname, port, message } = error as NodeJS.ErrnoException & { address?: string, hostname?: string, port?: number }
  if (syscall === 'listen' && code === 'EADDRNOTAVAIL') return [`${address} is no address of this machine: choose another with HOST`]
  if (syscall === 'getaddrinfo') return [`${hostname} is no address of this machine: choose another with HOST`]
  if (code === 'EADDRINUSE') return [`port ${port} is taken: choose another with PORT`]
  if (code === 'EACCES' && port !== undefined) return [`port ${port} may not be used by this user: choose one above 1023 with PORT`]
  const reasons = []
  for (let cause: unknown = error; cause instanceof Error && reasons.length < 4; cause = cause.cause) reasons.push(cause.message || (cause as NodeJS.ErrnoException).code)
  return [reasons.join(': ') || message]
}
