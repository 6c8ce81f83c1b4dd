import type { S3Client } from '@aws-sdk/client-s3'
import { ApiError } from '../errors.js'
import { presignUrl, signPostPolicy, type FormToSign, type RequestToSign, type SigningKey } from './sigv4.js'

/** The functions of sigv4.ts, or the commands of the AWS SDK: the same texts by both. */
export type SignerName = 'built-in' | 'sdk'

/** Makes the texts that carry signatures. */
export interface Signer {
  presignUrl (key: SigningKey, request: RequestToSign, bucket: string): string | Promise<string>
  signPostPolicy (key: SigningKey, form: FormToSign): Record<string, string> | Promise<Record<string, string>>
}

export function createSigner (name: SignerName, client: S3Client): Signer {
  return name === 'sdk' ? loadSdkSigner(client) : { presignUrl, signPostPolicy }
}

/** With the first signature: most never need it. */
function loadSdkSigner (client: S3Client): Signer {
  let loading: Promise<Signer> | undefined
  const sign = async <T>(by: (signer: Signer) => T | Promise<T>): Promise<T> => {
    try {
      return await by(await (loading ??= import('./sdk-signer.js').then(({ createSdkSigner }) => createSdkSigner(client))))
    } catch (cause) {
      throw toSigningError(cause)
    }
  }
  return {
    presignUrl: async (...request) => await sign(signer => signer.presignUrl(...request)),
    signPostPolicy: async (...form) => await sign(signer => signer.signPostPolicy(...form))
  }
}

export function toSigningError (cause: unknown): ApiError {
  if (cause instanceof ApiError) return cause
  return new ApiError('OBJECT_STORAGE_ERROR', 'No URL could be signed. Try again in a moment.', { cause, retryAfterSeconds: 5 })
}
