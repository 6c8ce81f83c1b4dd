/** An object that someone says was created. */
export interface CreatedObject {
  readonly bucket: string
  readonly key: string
}

/**
 * The objects that a notification says were created, each once. It takes what S3, MinIO, Ceph and others send, one
 * event of EventBridge, and either of them inside a message of SNS. All else in it is passed over.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
 * @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html
 * @see https://docs.ceph.com/en/latest/radosgw/s3-notification-compatibility/
 */
export function readNotifications (body: unknown): CreatedObject[] {
  const found = new Map<string, CreatedObject>()
  for (const object of [...fromRecords(body), ...fromEventBridge(body)]) found.set(JSON.stringify([object.bucket, object.key]), object)
  return [...found.values()]
}

/** How many records a notification has; a sender may put any number into one. */
export function countRecords (body: unknown): number {
  const records = field(body, 'Records')
  return Array.isArray(records) ? records.length : 1
}

function * fromRecords (body: unknown): Generator<CreatedObject> {
  const records = field(body, 'Records')
  if (!Array.isArray(records)) return
  for (const record of records) {
    // Ceph leaves the prefix out.
    if (!/^(s3:)?ObjectCreated:/.test(text(field(record, 'eventName')))) continue
    yield * toObject(field(record, 's3'))
  }
}

function * fromEventBridge (body: unknown): Generator<CreatedObject> {
  if (field(body, 'source') === 'aws.s3' && field(body, 'detail-type') === 'Object Created') yield * toObject(field(body, 'detail'))
}

function * toObject (value: unknown): Generator<CreatedObject> {
  const bucket = text(field(field(value, 'bucket'), 'name'))
  const key = decodeKey(text(field(field(value, 'object'), 'key')))
  // No name of ours has control characters, and a database refuses some of them.
  if (bucket !== '' && key !== '' && !/\p{Cc}/u.test(bucket + key)) yield { bucket, key }
}

/**
 * S3 and MinIO encode keys as forms do, Ceph and EventBridge do not say or do not encode. Keys that are made here
 * have neither `%` nor `+`, so that each means itself both ways; others are none of ours.
 */
function decodeKey (key: string): string {
  try {
    return decodeURIComponent(key.replaceAll('+', ' '))
  } catch {
    return ''
  }
}

function field (value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined
}

function text (value: unknown): string {
  return typeof value === 'string' ? value : ''
}
