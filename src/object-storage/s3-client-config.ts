import type { S3ClientConfig } from '@aws-sdk/client-s3'

/** Where a store is, and who asks it. */
export interface S3Address {
  readonly region: string
  /** Undefined is AWS. */
  readonly endpoint?: string | undefined
  readonly forcePathStyle: boolean
  /** A profile of the AWS configuration files. */
  readonly profile?: string
  /** The SDK's own provider chain when left out. */
  readonly credentials?: NonNullable<S3ClientConfig['credentials']>
}

const CONNECT_TIMEOUT_MS = 2_000

/** How every client of this service asks a store. */
export function s3ClientConfig ({ region, endpoint, forcePathStyle, profile, credentials }: S3Address, requestTimeoutMs: number): S3ClientConfig {
  return {
    region,
    ...(endpoint !== undefined && { endpoint }),
    ...(profile !== undefined && { profile }),
    ...(credentials && { credentials }),
    forcePathStyle,
    // The default adds checksums of its own, which not every store takes.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: 3,
    requestHandler: { connectionTimeout: CONNECT_TIMEOUT_MS, requestTimeout: requestTimeoutMs, throwOnRequestTimeout: true }
  }
}
