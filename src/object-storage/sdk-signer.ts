import { setImmediate as nextTurn } from 'node:timers/promises'
import { DeleteObjectCommand, GetObjectCommand, HeadObjectCommand, PutObjectCommand, UploadPartCommand, type S3Client } from '@aws-sdk/client-s3'
import { createPresignedPost } from '@aws-sdk/s3-presigned-post'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import type { Signer } from './signer.js'
import { UNSIGNED_PAYLOAD, type RequestToSign } from './sigv4.js'

type Command = Parameters<typeof getSignedUrl>[1]

const COMMANDS: Readonly<Record<string, new (input: never) => unknown>> = {
  DeleteObject: DeleteObjectCommand, GetObject: GetObjectCommand, HeadObject: HeadObjectCommand, PutObject: PutObjectCommand, UploadPart: UploadPartCommand
}

/** What the SDK calls the parameters and the headers of a request. */
const PARAMETERS: Readonly<Record<string, string>> = {
  'content-length': 'ContentLength',
  'content-type': 'ContentType',
  'if-none-match': 'IfNoneMatch',
  partNumber: 'PartNumber',
  'response-cache-control': 'ResponseCacheControl',
  'response-content-disposition': 'ResponseContentDisposition',
  'response-content-type': 'ResponseContentType',
  uploadId: 'UploadId',
  'x-amz-checksum-crc32': 'ChecksumCRC32',
  'x-amz-checksum-crc32c': 'ChecksumCRC32C',
  'x-amz-checksum-sha256': 'ChecksumSHA256'
}

const NUMBERS = new Set(['content-length', 'partNumber'])

/** The signer of `S3_SIGNER=sdk`: the same texts as those of sigv4.ts, by commands of the AWS SDK. It cannot bind the hash of a body. */
export function createSdkSigner (client: S3Client): Signer {
  let last: Promise<unknown> = Promise.resolve()

  /** One signature for each turn of the event loop: it takes most of a millisecond. */
  async function inTurn <T> (sign: () => Promise<T>): Promise<T> {
    const signed = last.then(async () => {
      await nextTurn()
      return await sign()
    })
    last = signed.catch(() => {})
    return await signed
  }

  return {
    async presignUrl (_, request, bucket) {
      const signed = new Set(Object.keys(request.headers))
      const options = { signingDate: request.signedAt, expiresIn: request.expiresInSeconds, signableHeaders: signed, unhoistableHeaders: signed }
      return await inTurn(async () => await getSignedUrl(client, toCommand(bucket, request), options))
    },

    async signPostPolicy (_, form) {
      return await inTurn(async () => {
        // It begins at a clock of its own: only the end can be told. Half a millisecond keeps what is divided here from being rounded down there.
        const lifeMs = form.expiresAt.getTime() - Date.now() + 0.5
        const { fields } = await createPresignedPost(client, {
          Bucket: form.bucket,
          Key: form.objectKey,
          Fields: { ...form.fields },
          Conditions: [['content-length-range', ...form.lengthRange]],
          Expires: lifeMs / 1000
        })
        return fields
      })
    }
  }
}

function toCommand (bucket: string, { method, key, query, headers }: RequestToSign): Command {
  const input: Record<string, unknown> = { Bucket: bucket, Key: key }
  let operation = `${method} without x-id`
  if (method === 'HEAD') operation = 'HeadObject'
  for (const [name, value] of [...query, ...Object.entries(headers)]) {
    if (name === 'x-id') operation = value
    else if (name in PARAMETERS) input[PARAMETERS[name] as string] = NUMBERS.has(name) ? Number(value) : value
    // The SDK says by itself that the body is not bound.
    else if (value !== UNSIGNED_PAYLOAD) throw new Error(`The signer of the AWS SDK cannot bind ${name}`)
  }
  const Operation = COMMANDS[operation]
  if (!Operation) throw new Error(`The signer of the AWS SDK has no command for ${operation}`)
  return new Operation(input as never) as Command
}
