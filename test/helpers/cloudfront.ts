import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { GetObjectCommand, S3ServiceException } from '@aws-sdk/client-s3'
import type { Test } from 'tap'
import type { TestS3 } from './s3.js'

export interface DistributionOptions {
  /** The query strings of the cache policy: part of what is cached by, and passed on. */
  readonly cachePolicy?: readonly string[]
  /** Those that are passed on besides, and do not count for the cache. */
  readonly originRequestPolicy?: readonly string[]
  readonly restrictsViewers?: boolean
  /** What keys the bucket lets it read. */
  readonly readable?: RegExp
  readonly responseHeaders?: Readonly<Record<string, string>>
}

export interface Distribution {
  readonly url: string
  /** How the service is told of it. */
  readonly env: Readonly<Record<string, string>>
  readonly options: { -readonly [Name in keyof DistributionOptions]: DistributionOptions[Name] }
  /** How often the bucket was asked. */
  originRequests (): number
}

const OVERRIDES = ['response-content-type', 'response-content-disposition', 'response-cache-control']
const SIGNING = ['Expires', 'Signature', 'Key-Pair-Id', 'Hash-Algorithm']

/**
 * What CloudFront does in front of a bucket, from its developer guide: compares the signature of the canned policy that
 * the URL itself amounts to, looks into its cache, and asks the bucket by requests of its own.
 * @see https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/private-content-creating-signed-url-canned-policy.html
 */
export async function startDistribution (t: Test, s3: TestS3, bucket: () => string, type: 'rsa' | 'ec' = 'rsa'): Promise<Distribution> {
  const { privateKey } = type === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const publicKey = createPublicKey(privateKey)
  const keyPairId = 'K2JCJMDEHXQW5F'
  const options: Distribution['options'] = {
    cachePolicy: OVERRIDES,
    originRequestPolicy: [],
    restrictsViewers: true,
    readable: /^(?!staging\/)/,
    responseHeaders: { 'x-content-type-options': 'nosniff', 'content-security-policy': 'sandbox' }
  }
  const cache = new Map<string, { headers: Record<string, string>, body: Uint8Array }>()
  let asked = 0
  let origin = ''

  function isSigned (target: string): boolean {
    const [path = '', query = ''] = target.split('?')
    const pairs = query.split('&')
    const value = (name: string): string => decodeURIComponent(pairs.find(pair => pair.startsWith(`${name}=`))?.slice(name.length + 1) ?? '')
    const own = pairs.filter(pair => !SIGNING.some(name => pair.startsWith(`${name}=`))).join('&')
    const policy = `{"Statement":[{"Resource":"${origin}${path}${own === '' ? '' : `?${own}`}","Condition":{"DateLessThan":{"AWS:EpochTime":${value('Expires')}}}}]}`
    const signature = Buffer.from(value('Signature').replace(/[-_~]/g, mark => ({ '-': '+', _: '=', '~': '/' })[mark] ?? ''), 'base64')
    return value('Key-Pair-Id') === keyPairId && Number(value('Expires')) > Date.now() / 1000 &&
      verify(value('Hash-Algorithm') === 'SHA256' ? 'sha256' : 'sha1', Buffer.from(policy), publicKey, signature)
  }

  async function fetchObject (target: string) {
    const [path = '', query = ''] = target.split('?')
    const key = decodeURIComponent(path.slice(1))
    const asks = new URLSearchParams(query)
    const given = (name: string): string | undefined => [...options.cachePolicy ?? [], ...options.originRequestPolicy ?? []].includes(name) ? asks.get(name) ?? undefined : undefined
    const cacheKey = [path, ...(options.cachePolicy ?? []).map(name => asks.get(name))].join('\n')
    const cached = cache.get(cacheKey)
    if (cached) return cached
    if (!options.readable?.test(key)) return null
    asked++
    const reply = await s3.client.send(new GetObjectCommand({ Bucket: bucket(), Key: key, ResponseContentType: given('response-content-type'), ResponseContentDisposition: given('response-content-disposition'), ResponseCacheControl: given('response-cache-control') }))
    const headers = Object.entries({ 'content-type': reply.ContentType, 'content-disposition': reply.ContentDisposition, 'cache-control': reply.CacheControl }).filter((entry): entry is [string, string] => entry[1] !== undefined)
    const fetched = { headers: Object.fromEntries(headers), body: await reply.Body?.transformToByteArray() ?? Buffer.alloc(0) }
    cache.set(cacheKey, fetched)
    return fetched
  }

  const server = createServer((request, response) => {
    const target = request.url ?? ''
    if (!['GET', 'HEAD'].includes(request.method ?? '') || (options.restrictsViewers && !isSigned(target))) return response.writeHead(403).end('<Error><Code>AccessDenied</Code></Error>')
    fetchObject(target).then(found => {
      if (found) response.writeHead(200, { ...found.headers, ...options.responseHeaders }).end(found.body)
      else response.writeHead(403).end()
    }, error => response.writeHead(error instanceof S3ServiceException ? 403 : 502).end())
  })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  })
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url: origin,
    env: { DOWNLOAD_SIGNER: 'cloudfront', CLOUDFRONT_URL: origin, CLOUDFRONT_KEY_PAIR_ID: keyPairId, CLOUDFRONT_PRIVATE_KEY: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() },
    options,
    originRequests: () => asked
  }
}
