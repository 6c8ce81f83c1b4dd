import type { InventoryRow } from '../files/inventory.js'
import type { ListedObject } from '../object-storage/object-storage.js'
import { STAGING_PREFIX } from '../policies/object-key.js'
import type { Services } from '../services.js'
import type { Place } from './reconcile-places.js'

export type ObjectFinding =
  | { readonly kind: 'object-without-row', readonly bucket: string, readonly key: string, readonly sizeBytes: number, readonly modifiedAt: Date, readonly action: 'none' | 'deleted' }
  | { readonly kind: 'row-without-object', readonly bucket: string, readonly key: string, readonly fileId: string, readonly action: 'none' | 'told' }
  | { readonly kind: 'object-changed', readonly bucket: string, readonly key: string, readonly fileId: string, readonly action: 'none' }

export interface ObjectOptions {
  readonly apply: boolean
  /** Objects that were written later are left alone. */
  readonly strayBefore: Date
}

const PAGE = 1000
/** Behind every key that begins with a prefix: keys are ASCII. */
const LAST = '\x7f'

/** Reads a listing and the rows of the same keys side by side. What looks wrong is looked at again, alone, before it is told. */
export async function * reconcileObjects (services: Services, place: Place, options: ObjectOptions): AsyncGenerator<ObjectFinding> {
  let after = place.prefix
  for await (const page of pages(services.objectStorage.listObjects(place.bucket, place.prefix))) {
    const upTo = page.at(-1)?.key ?? after
    yield * comparePage(services, place, page, { after, upTo }, options)
    after = upTo
  }
  yield * comparePage(services, place, [], { after, upTo: place.prefix + LAST }, options)
}

async function * pages (objects: AsyncIterable<ListedObject>): AsyncGenerator<ListedObject[]> {
  let page: ListedObject[] = []
  for await (const object of objects) {
    page.push(object)
    if (page.length < PAGE) continue
    yield page
    page = []
  }
  if (page.length > 0) yield page
}

async function * comparePage (services: Services, { bucket, isOurs }: Place, page: readonly ListedObject[], { after, upTo }: { after: string, upTo: string }, options: ObjectOptions): AsyncGenerator<ObjectFinding> {
  const listed = new Map(page.map(object => [object.key, object]))
  const stagingIds = page.filter(({ key }) => key.startsWith(STAGING_PREFIX)).map(({ key }) => key.slice(STAGING_PREFIX.length))
  const expected = new Set<string>()
  for (const row of (await services.inventory.rowsById(stagingIds)).values()) if (mayHoldStaging(row)) expected.add(row.stagingKey)
  for (let from = after, rows; from < upTo; from = rows.at(-1)?.key ?? upTo) {
    rows = await services.inventory.rowsBetween(bucket, from, upTo)
    for (const row of rows) {
      if (mayHoldObject(row)) expected.add(row.key)
      const object = listed.get(row.key)
      if (row.status === 'ready' && (!object || object.etag !== row.etag || object.sizeBytes !== row.sizeBytes)) yield * confirmReady(services, bucket, row, options)
    }
    if (rows.length < PAGE) break
  }
  for (const object of page) {
    if (!expected.has(object.key) && isOurs(object.key) && object.modifiedAt < options.strayBefore) yield * confirmStray(services, bucket, object, options)
  }
}

/** A tombstone's object is on its way out until it is purged. */
function mayHoldObject ({ status, isPurged }: InventoryRow): boolean {
  return !['rejected', 'expired', 'deleted'].includes(status) || !isPurged
}

function mayHoldStaging (row: InventoryRow): row is InventoryRow & { stagingKey: string } {
  return row.stagingKey !== null && mayHoldObject(row)
}

/** What differs is told of the content that was looked at: the file may be replaced or deleted before the store answers. */
async function * confirmReady ({ inventory, objectStorage, files, now }: Services, bucket: string, { id }: InventoryRow, { apply }: ObjectOptions): AsyncGenerator<ObjectFinding> {
  const find = async (): Promise<InventoryRow | undefined> => (await inventory.rowsById([id])).get(id)
  const row = await find()
  if (row?.status !== 'ready') return
  const { key } = row
  const object = await objectStorage.headObject({ bucket, key })
  if (object?.etag === row.etag && object.sizeBytes === row.sizeBytes) return
  const finding = { bucket, key, fileId: id }
  if (!object && apply) {
    if (await files.reportMissing(id, key, now())) yield { kind: 'row-without-object', ...finding, action: 'told' }
    return
  }
  const later = await find()
  if (later?.status !== 'ready' || later.key !== key) return
  yield { kind: object ? 'object-changed' : 'row-without-object', ...finding, action: 'none' }
}

async function * confirmStray ({ inventory, objectStorage }: Services, bucket: string, object: ListedObject, { apply }: ObjectOptions): AsyncGenerator<ObjectFinding> {
  const { key, sizeBytes, modifiedAt } = object
  const stagingRow = key.startsWith(STAGING_PREFIX) ? (await inventory.rowsById([key.slice(STAGING_PREFIX.length)])).get(key.slice(STAGING_PREFIX.length)) : undefined
  if (stagingRow && mayHoldStaging(stagingRow)) return
  const row = await inventory.rowOfKey(bucket, key)
  if (row && mayHoldObject(row)) return
  if (apply) await objectStorage.deleteObject({ bucket, key })
  yield { kind: 'object-without-row', bucket, key, sizeBytes, modifiedAt, action: apply ? 'deleted' : 'none' }
}
