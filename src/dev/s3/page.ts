import { compareKeys } from './key-index.js'

export interface PageOptions {
  readonly prefix: string
  /** Empty for no grouping. */
  readonly delimiter: string
  /** Only what comes behind it is listed. */
  readonly after: string
  readonly maxItems: number
}

export interface Page<Item> {
  readonly items: readonly Item[]
  readonly commonPrefixes: readonly string[]
  /** Where the next page begins behind; undefined on the last page. */
  readonly next: { readonly marker: string, readonly item: Item | undefined } | undefined
}

/**
 * Groups sorted keys as all of S3's lists do: a common prefix counts as one item, at the place of its first key.
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
 */
export function collectPage<Item> (entries: Iterable<readonly [key: string, item: Item]>, { prefix, delimiter, after, maxItems }: PageOptions): Page<Item> {
  const items: Item[] = []
  const commonPrefixes: string[] = []
  let last: { marker: string, item: Item | undefined } | undefined
  if (maxItems === 0) return { items, commonPrefixes, next: undefined }
  for (const [key, item] of entries) {
    if (!key.startsWith(prefix)) {
      if (compareKeys(key, prefix) > 0) break
      continue
    }
    const end = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length)
    const group = end < 0 ? undefined : key.slice(0, end + delimiter.length)
    if (group !== undefined && (group === after || group === commonPrefixes.at(-1))) continue
    if (items.length + commonPrefixes.length === maxItems) return { items, commonPrefixes, next: last }
    if (group === undefined) items.push(item)
    else commonPrefixes.push(group)
    last = { marker: group ?? key, item: group === undefined ? item : undefined }
  }
  return { items, commonPrefixes, next: undefined }
}
