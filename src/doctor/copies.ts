import type { ObjectLocation } from '../object-storage/object-storage.js'
import { STAGING_PREFIX } from '../policies/object-key.js'
import { fail, ok, warn, type Probe } from './finding.js'
import { putObject } from './put-object.js'
import { PROBE_BYTES, PROBE_TYPE, type Site } from './site.js'

const copy: Probe<Site> = {
  id: 'copy',
  async run (site) {
    const [from, to] = [stagedAt(site, 'copy-source'), site.at('copy')]
    await putObject(site, from)
    const source = await site.internal.headObject(from)
    const copied = await site.internal.copyObject(from, to.key, { etag: source?.etag ?? '', contentType: 'application/x-presignd' })
    const sealed = await site.internal.headObject(to)
    if (copied && sealed?.contentType === 'application/x-presignd' && sealed.sizeBytes === PROBE_BYTES.length) return [ok('copy', 'what is in staging can be sealed by a copy')]
    const message = 'a copy does not come out as asked'
    return [site.usesStaging ? fail('copy', message, 'use a store that heeds x-amz-metadata-directive, or policies with PUT and multipart alone') : ok('copy', `${message}, but nothing is copied`)]
  }
}

const copyCondition: Probe<Site> = {
  id: 'copy-condition',
  async run (site) {
    const [from, to] = [stagedAt(site, 'copy-condition-source'), site.at('copy-condition')]
    await putObject(site, from)
    const copied = await site.internal.copyObject(from, to.key, { etag: '"00000000000000000000000000000000"', contentType: PROBE_TYPE })
    if (!copied) return [ok('copy-condition', 'another version than the one asked for is not copied')]
    return [warn('copy-condition', 'x-amz-copy-source-if-match is ignored on CopyObject', 'none is needed: presignd looks at the copy, not at what it was made of')]
  }
}

const createOnlyCopy: Probe<Site> = {
  id: 'create-only-copy',
  async run (site) {
    const [from, to] = [stagedAt(site, 'create-only-copy-source'), site.at('create-only-copy')]
    for (const location of [from, to]) await putObject(site, location)
    const outcome = await site.settings.copyOver(from.key, to.key)
    if (outcome === 'overwritten') return [warn('create-only-copy', 'If-None-Match is ignored on CopyObject', 'none is needed: presignd copies to keys that nobody else can write to')]
    return [ok('create-only-copy', outcome === 'refused' ? 'If-None-Match is honoured on CopyObject' : 'If-None-Match is not offered on CopyObject, and not ignored')]
  }
}

/** Where presignd itself copies from: a bucket policy may forbid all other copies. */
function stagedAt (site: Site, name: string): ObjectLocation {
  return site.at(name, site.usesStaging ? STAGING_PREFIX : undefined)
}

export const copyProbes: ReadonlyArray<Probe<Site>> = [copy, copyCondition, createOnlyCopy]
