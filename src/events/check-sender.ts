import { createHash, timingSafeEqual } from 'node:crypto'

/**
 * Whether an Authorization header carries the secret: as a bearer token, or as a password under any name, which is
 * what Ceph sends for a URL with a password in it. MinIO and EventBridge send what they are told to.
 */
export function hasSecret (authorization: string, secret: string): boolean {
  const [scheme = '', ...rest] = authorization.split(' ')
  const value = rest.join(' ').trim()
  if (/^bearer$/i.test(scheme)) return isEqual(value, secret)
  if (!/^basic$/i.test(scheme)) return false
  const credentials = Buffer.from(value, 'base64').toString('utf8')
  const colon = credentials.indexOf(':')
  return colon >= 0 && isEqual(credentials.slice(colon + 1), secret)
}

/** In the same time, whatever is wrong. */
function isEqual (left: string, right: string): boolean {
  const [one, other] = [left, right].map(value => createHash('sha256').update(value).digest()) as [Buffer, Buffer]
  return timingSafeEqual(one, other)
}
