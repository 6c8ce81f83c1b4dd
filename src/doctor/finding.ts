/** All that a look can find, in the order in which it is told. The names are stable. */
export const FINDING_IDS = [
  'database', 'migrations', 'token-keys',
  'endpoint', 'clock', 'credentials', 'region', 'bucket', 'credentials-life', 'missing-key', 'public-endpoint', 'put',
  'create-only-put', 'signature', 'expiry', 'future-date', 'signed-type', 'signed-length', 'unsigned-acl', 'unsigned-copy-source', 'checksums',
  'download', 'cdn', 'cdn-unsigned', 'cdn-staging', 'cdn-headers', 'post', 'post-length', 'post-fields', 'copy', 'copy-condition', 'create-only-copy', 'multipart', 'part-length', 'unequal-parts', 'create-only-complete',
  'cors', 'cors-methods', 'cors-headers', 'cors-etag', 'lifecycle-parts', 'lifecycle-staging', 'lifecycle-files', 'public-access', 'public-access-block', 'provider',
  'delete'
] as const
export type FindingId = typeof FINDING_IDS[number]

/** What was found, in one line. */
export interface Finding {
  readonly id: FindingId
  /** `warn` is worth a look and keeps nothing from working safely; `fail` does. */
  readonly level: 'ok' | 'warn' | 'fail'
  readonly message: string
  /** What to do about it, exactly; left out when all is well. */
  readonly fix?: string
  /** By its name in S3; left out for what is not about a bucket. */
  readonly bucket?: string
}

export function ok (id: FindingId, message: string): Finding {
  return { id, level: 'ok', message }
}

export function warn (id: FindingId, message: string, fix: string): Finding {
  return { id, level: 'warn', message, fix }
}

export function fail (id: FindingId, message: string, fix: string): Finding {
  return { id, level: 'fail', message, fix }
}

/** One question to a store or to what the service stands on. */
export interface Probe<Subject> {
  /** What it is about, for a probe that could not even ask. */
  readonly id: FindingId
  /** May throw: what broke becomes a finding. */
  run (subject: Subject): Promise<readonly Finding[]>
}
