import type { PresignedRequest, PresignGet } from './object-storage.js'
import { beginOfLife, responseOverrides } from './s3-presign.js'
import { encode, encodePath } from './percent-encoding.js'

/** A distribution whose paths are the keys of the bucket behind it. */
export interface CloudFrontOptions {
  /** Its origin, without a slash at the end. */
  readonly url: string
  readonly keyPairId: string
  /** In PEM. */
  readonly privateKey: string
}

/**
 * Signs GETs for CloudFront, by a canned policy: it binds the whole URL and its end. What the reply says of type,
 * name and caching is in the query, which the distribution has to pass on to the bucket.
 * Loads the signer of AWS, which nobody else needs.
 * @see https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-creating-signed-url-canned-policy.html
 */
export async function createCloudFrontPresign ({ url: origin, ...key }: CloudFrontOptions): Promise<(get: PresignGet) => PresignedRequest<'GET'>> {
  const { getSignedUrl } = await import('@aws-sdk/cloudfront-signer')
  return get => {
    const query = responseOverrides(get).map(([name, value]) => `${name}=${encode(value)}`).join('&')
    const expiresAt = new Date(beginOfLife(get.signedAt, get.windowSeconds).getTime() + get.expiresInSeconds * 1000)
    const url = getSignedUrl({ ...key, url: `${origin}/${encodePath(get.key)}?${query}`, dateLessThan: expiresAt, algorithm: 'SHA256' })
    return { method: 'GET', url, headers: {}, expiresAt }
  }
}
