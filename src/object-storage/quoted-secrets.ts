import { S3ServiceException } from '@aws-sdk/client-s3'

/** Stores quote what they refuse, and the log is to have the rest of it. */
const QUOTED_SECRETS = /\b(x-amz-(?:signature|security-token|credential)|authorization)\b(["'=:\s]|%3d)+[^\s&<>"',]+/gi

export function withoutQuotedSecrets (error: unknown): unknown {
  if (error instanceof S3ServiceException) {
    error.message = error.message.replace(QUOTED_SECRETS, '[redacted]')
    if (error.stack) error.stack = error.stack.replace(QUOTED_SECRETS, '[redacted]')
  }
  return error
}
