import type { ColumnType } from 'kysely'

/** Times are milliseconds since 1970 and sizes are bytes: the same `bigint` column on both engines. */
export interface Database {
  files: FilesTable
  secrets: SecretsTable
  usage: UsageTable
  outbox: OutboxTable
  disabled_webhooks: DisabledWebhooksTable
  webhook_urls: WebhookUrlsTable
  upload_tickets: UploadTicketsTable
}

export interface FilesTable {
  id: ColumnType<string, string, never>
  tenant: ColumnType<string, string, never>
  owner: ColumnType<string, string, never>
  policy: ColumnType<string, string, never>
  status: string
  version: number
  filename: string
  content_type: string
  size_bytes: number
  checksum_sha256: string | null
  visibility: string
  bucket: string
  object_key: string
  staging_key: string | null
  multipart_upload_id: string | null
  etag: string | null
  /** A JSON object of strings. */
  metadata: string
  replaces: string | null
  replaced_into: string | null
  rejected_reason: string | null
  url_deadline: number
  lease_token: string | null
  lease_until: number | null
  next_check_at: number | null
  attempts: number
  purged_at: number | null
  idem_key: string | null
  idem_hash: string | null
  created_at: number
  updated_at: number
  ready_at: number | null
  method: string
  part_size_bytes: number | null
  checksum_crc32: string | null
  checksum_crc32c: string | null
  reserved_bytes: number
}

/** What an owner holds and has reserved under a policy: the sums over the rows that are pending, verifying, scanning or ready. */
export interface UsageTable {
  tenant: string
  owner: string
  policy: string
  files: number
  bytes: number
  /** Of the files, those that are not ready yet. */
  pending: number
}

/** What lets a client without a token upload under one policy, within caps, in its owner's name. */
export interface UploadTicketsTable {
  id: string
  /** The SHA-256 of the token, in base64: the token itself is nowhere. */
  token_hash: string
  tenant: string
  owner: string
  policy: string
  /** A JSON array of strings: those of the owner's scopes that the policy asks for. */
  scopes: string
  /** A JSON object: those of the owner's claims that the policy asks for. */
  claims: string
  max_files: number
  max_bytes: number
  used_files: number
  used_bytes: number
  created_at: number
  expires_at: number
  revoked_at: number | null
}

export interface SecretsTable {
  name: string
  value: string
}

/** One event on its way to one endpoint. */
export interface OutboxTable {
  id: ColumnType<string, string, never>
  endpoint: ColumnType<string, string, never>
  tenant: ColumnType<string, string, never>
  file_id: ColumnType<string, string, never>
  type: ColumnType<string, string, never>
  /** The version of the file's row after the change. */
  sequence: ColumnType<number, number, never>
  /** The exact text that is signed and sent. */
  payload: ColumnType<string, string, never>
  created_at: ColumnType<number, number, never>
  attempts: number
  next_attempt_at: number
  lease_token: string | null
  lease_until: number | null
  delivered_at: number | null
  dead_at: number | null
  last_status: number | null
  last_error: string | null
}

/** What versions before `webhook_urls` keep of a 410. */
export interface DisabledWebhooksTable {
  endpoint: string
  url_hash: string
  disabled_at: number
}

export interface WebhookUrlsTable {
  endpoint: ColumnType<string, string, never>
  url_hash: ColumnType<string, string, never>
  /** When a process last had the URL in its policies file. */
  seen_at: number
  /** When the URL asked for no more; null when it did not. */
  disabled_at: number | null
}
