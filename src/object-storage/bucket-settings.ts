import {
  CopyObjectCommand, GetBucketCorsCommand, GetBucketLifecycleConfigurationCommand, GetPublicAccessBlockCommand, ListObjectsV2Command, PutBucketCorsCommand,
  PutBucketLifecycleConfigurationCommand, S3Client, S3ServiceException, type CORSRule, type LifecycleRule as S3LifecycleRule
} from '@aws-sdk/client-s3'
import { s3ClientConfig, type S3Address } from './s3-client-config.js'

/** How a store took a first question. */
export interface StoreAnswer {
  /** S3's code of the refusal; undefined when it answered what was asked. */
  readonly refusal?: string
  /** What kept the question from being answered at all: the code of a network error. */
  readonly silence?: string
  /** The clock of the store; null when it did not say. */
  readonly date: Date | null
  /** Where the bucket is, where the store says so. */
  readonly region?: string
}

export interface CorsSetting {
  readonly origins: readonly string[]
  readonly methods: readonly string[]
  readonly headers: readonly string[]
  readonly exposedHeaders: readonly string[]
}

export interface LifecycleRule {
  readonly name: string
  readonly prefix: string
  /** Whether it is for some of the objects alone: those with a tag. */
  readonly isTagged: boolean
  readonly abortAfterDays: number | null
  /** 0 stands for a date. */
  readonly expireAfterDays: number | null
}

/** Rules to write, each for the keys that begin so; the name tells ours from others. */
export type NewLifecycleRule = Pick<LifecycleRule, 'name' | 'prefix' | 'abortAfterDays' | 'expireAfterDays'>

/**
 * What an operator sets for one bucket, and may ask: nothing here is for serving requests. What the store refuses
 * is thrown as it came.
 */
export interface BucketSettings {
  /** Of the provider chain, with their end where it is known; null when nothing gives any. */
  findCredentials (): Promise<{ readonly isTemporary: boolean, readonly expiresAt: Date | null } | null>
  /** Asks for one key that begins so, once: the answer tells of the address, the credentials, the clock and the bucket. */
  ask (prefix: string): Promise<StoreAnswer>
  /** Puts this rule before all others, in the place of the one with the same name. */
  addCorsRule (name: string, rule: CorsSetting): Promise<void>
  /** Those in force; an empty list when the bucket has none. */
  readLifecycle (): Promise<readonly LifecycleRule[]>
  /** Leaves all others as they are, and takes the place of those with the same names. */
  addLifecycleRules (rules: readonly NewLifecycleRule[]): Promise<void>
  /** How many of the four switches of AWS against public access are on. */
  countPublicAccessBlocks (): Promise<number>
  /** Copies onto a key that is taken, on the condition that it is not. */
  copyOver (fromKey: string, toKey: string): Promise<'refused' | 'overwritten' | 'not offered'>
  /** Ends connections. */
  close (): void
}

const REQUEST_TIMEOUT_MS = 8_000

export function createBucketSettings (address: S3Address, bucket: string): BucketSettings {
  const client = new S3Client(s3ClientConfig(address, REQUEST_TIMEOUT_MS))
  // A second try would hide a clock that is wrong: the SDK learns the right time from the refusal.
  const once = new S3Client({ ...s3ClientConfig(address, REQUEST_TIMEOUT_MS), maxAttempts: 1 })
  let headers: Readonly<Record<string, string | undefined>> = {}
  once.middlewareStack.add(next => async args => {
    const result = await next(args)
    headers = (result.response as { headers?: Record<string, string> }).headers ?? {}
    return result
  }, { step: 'deserialize', priority: 'low', name: 'lastHeaders' })

  async function readCorsRules (): Promise<CORSRule[]> {
    return await orNone('NoSuchCORSConfiguration', async () => (await client.send(new GetBucketCorsCommand({ Bucket: bucket }))).CORSRules) ?? []
  }

  async function readLifecycleRules (): Promise<S3LifecycleRule[]> {
    return await orNone('NoSuchLifecycleConfiguration', async () => (await client.send(new GetBucketLifecycleConfigurationCommand({ Bucket: bucket }))).Rules) ?? []
  }

  return {
    async findCredentials () {
      try {
        const { sessionToken, expiration } = await client.config.credentials()
        return { isTemporary: sessionToken !== undefined, expiresAt: expiration ?? null }
      } catch (error) {
        if ((error as Error).name === 'CredentialsProviderError') return null
        throw error
      }
    },

    async ask (prefix) {
      headers = {}
      const told = (): Pick<StoreAnswer, 'date' | 'region'> => {
        const date = Date.parse(headers['date'] ?? '')
        const region = headers['x-amz-bucket-region']
        return { date: Number.isNaN(date) ? null : new Date(date), ...(region !== undefined && { region }) }
      }
      try {
        await once.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, MaxKeys: 1 }))
        return told()
      } catch (error) {
        if (!(error instanceof S3ServiceException)) return { silence: networkCode(error), date: null }
        headers = error.$response?.headers ?? {}
        const { Region: region } = error as { Region?: string }
        return { ...(region !== undefined && { region }), ...told(), refusal: error.name }
      }
    },

    async addCorsRule (name, { origins, methods, headers, exposedHeaders }) {
      const others = (await readCorsRules()).filter(({ ID }) => ID !== name)
      const rule = { ID: name, AllowedOrigins: [...origins], AllowedMethods: [...methods], AllowedHeaders: [...headers], ExposeHeaders: [...exposedHeaders], MaxAgeSeconds: 3600 }
      // "Amazon S3 uses the first CORSRule that matches": https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html
      await client.send(new PutBucketCorsCommand({ Bucket: bucket, CORSConfiguration: { CORSRules: [rule, ...others] } }))
    },

    readLifecycle: async () => (await readLifecycleRules()).filter(({ Status }) => Status === 'Enabled').map(toLifecycleRule),

    async addLifecycleRules (rules) {
      const names = new Set(rules.map(({ name }) => name))
      const others = (await readLifecycleRules()).filter(({ ID }) => !names.has(ID ?? ''))
      const own = rules.map(({ name, prefix, abortAfterDays, expireAfterDays }): S3LifecycleRule => ({
        ID: name,
        Status: 'Enabled',
        Filter: { Prefix: prefix },
        ...(abortAfterDays !== null && { AbortIncompleteMultipartUpload: { DaysAfterInitiation: abortAfterDays } }),
        ...(expireAfterDays !== null && { Expiration: { Days: expireAfterDays } })
      }))
      await client.send(new PutBucketLifecycleConfigurationCommand({ Bucket: bucket, LifecycleConfiguration: { Rules: [...others, ...own] } }))
    },

    async countPublicAccessBlocks () {
      const block = await orNone('NoSuchPublicAccessBlockConfiguration', async () => (await client.send(new GetPublicAccessBlockCommand({ Bucket: bucket }))).PublicAccessBlockConfiguration)
      return [block?.BlockPublicAcls, block?.IgnorePublicAcls, block?.BlockPublicPolicy, block?.RestrictPublicBuckets].filter(Boolean).length
    },

    async copyOver (fromKey, toKey) {
      try {
        await client.send(new CopyObjectCommand({ Bucket: bucket, Key: toKey, CopySource: `${bucket}/${fromKey.split('/').map(encodeURIComponent).join('/')}`, IfNoneMatch: '*' }))
        return 'overwritten'
      } catch (error) {
        if (!(error instanceof S3ServiceException)) throw error
        if ([409, 412].includes(error.$metadata.httpStatusCode ?? 0)) return 'refused'
        if (error.name === 'NotImplemented') return 'not offered'
        throw error
      }
    },

    close () {
      client.destroy()
      once.destroy()
    }
  }
}

function toLifecycleRule ({ ID = '', Prefix, Filter, AbortIncompleteMultipartUpload: abort, Expiration: expiration }: S3LifecycleRule): LifecycleRule {
  const expires = expiration?.Days !== undefined || expiration?.Date !== undefined
  return {
    name: ID,
    prefix: Prefix ?? Filter?.Prefix ?? Filter?.And?.Prefix ?? '',
    isTagged: Filter?.Tag !== undefined || (Filter?.And?.Tags ?? []).length > 0,
    abortAfterDays: abort?.DaysAfterInitiation ?? null,
    expireAfterDays: expires ? expiration.Days ?? 0 : null
  }
}

async function orNone<T> (code: string, read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof S3ServiceException && error.name === code) return undefined
    throw error
  }
}

function networkCode (error: unknown): string {
  const { code, name } = error as { code?: unknown, name?: unknown }
  return typeof code === 'string' ? code : String(name)
}
