import type { Config } from '../config.js'
import type { PolicySet } from '../policies/load-policies.js'
import { probeAccess } from './access.js'
import { cdnProbes } from './cdn.js'
import { checksumProbes } from './checksums.js'
import { copyProbes } from './copies.js'
import { applyCors, corsProbes } from './cors.js'
import { describeError } from './describe-error.js'
import { downloadProbes } from './downloads.js'
import { fail, ok, warn, type Finding, type FindingId, type Probe } from './finding.js'
import { formProbes } from './forms.js'
import { applyLifecycle, lifecycleProbes } from './lifecycle.js'
import { multipartProbes } from './multipart.js'
import { providerProbes } from './provider.js'
import { publicAccessProbes } from './public-access.js'
import { probePublicEndpoint } from './public-endpoint.js'
import { runProbe } from './run-probe.js'
import { serviceProbes } from './service.js'
import { openSites, type Site } from './site.js'
import { unsignedHeaderProbes } from './unsigned-headers.js'
import { probeFirstPut, uploadProbes } from './uploads.js'

export interface DoctorOptions {
  /** Write the rules for CORS and lifecycle that are missing, then look. Without it no setting is changed. */
  readonly apply: boolean
  /** Ends the look early; what was written is removed all the same. */
  readonly signal?: AbortSignal
}

/**
 * Looks at all that the service stands on, one finding at a time: database, keys of tokens, and each bucket that a
 * policy uses, by objects of its own below the policies' prefixes. They are removed again, also when a probe breaks
 * or nobody listens any more; nothing else is touched.
 */
export async function * runDoctor (config: Config, policySet: PolicySet, { apply, signal }: DoctorOptions): AsyncGenerator<Finding> {
  for (const probe of serviceProbes) yield * await runProbe(probe, config)
  for (const site of openSites(config, policySet)) {
    for await (const finding of examine(site, apply, signal)) yield { ...finding, bucket: site.bucket }
  }
}

async function * examine (site: Site, apply: boolean, signal: AbortSignal | undefined): AsyncGenerator<Finding> {
  let isClean = false
  try {
    yield * probeUntilRemoved()
  } finally {
    if (!isClean) await removeAll(site)
    site.close()
  }

  async function * probeUntilRemoved (): AsyncGenerator<Finding> {
    const access = await runProbe({ id: 'endpoint', run: probeAccess }, site)
    yield * access
    if (access.some(({ id, level }) => level === 'fail' && id !== 'missing-key')) return
    const [first] = await runProbe({ id: 'put', run: async (site: Site) => [await probeFirstPut(site)] }, site)
    if (first?.level === 'fail') yield first
    else {
      yield * await runProbe({ id: 'public-endpoint', run: async (site: Site) => [await probePublicEndpoint(site)] }, site)
      if (first) yield first
      if (apply) yield * await applySettings(site)
      for (const probe of probesFor(site)) {
        if (signal?.aborted) return
        yield * await runProbe(probe, site)
      }
    }
    isClean = true
    yield await removeAll(site)
  }
}

function probesFor (site: Site): ReadonlyArray<Probe<Site>> {
  return [
    ...uploadProbes, ...unsignedHeaderProbes, ...checksumProbes, ...downloadProbes, ...cdnProbes, ...formProbes, ...copyProbes,
    ...(site.uses('multipart') ? multipartProbes : []),
    ...corsProbes, ...lifecycleProbes, ...publicAccessProbes,
    ...providerProbes
  ]
}

/** The probes that follow tell how it went; here is told what could not be written. */
async function applySettings (site: Site): Promise<Finding[]> {
  const findings: Finding[] = []
  const settings: ReadonlyArray<[id: FindingId, what: string, write: (site: Site) => Promise<void>, permission: string]> = [
    ['cors', 'CORS', applyCors, 's3:GetBucketCORS and s3:PutBucketCORS'],
    ['lifecycle-parts', 'lifecycle', applyLifecycle, 's3:GetLifecycleConfiguration and s3:PutLifecycleConfiguration']
  ]
  for (const [id, what, write, permission] of settings) {
    try {
      await write(site)
    } catch (error) {
      findings.push(fail(id, `the rules for ${what} could not be written (${describeError(error)})`, `run it with a key that may ${permission} on arn:aws:s3:::${site.bucket}`))
    }
  }
  return findings
}

async function removeAll ({ internal, bucket, written, begun }: Site): Promise<Finding> {
  const left = []
  let problem = ''
  await Promise.all(begun.map(async ({ location, multipartUploadId }) => {
    await internal.abortMultipartUpload(location, multipartUploadId).catch((error: unknown) => { problem = describeError(error) })
  }))
  await Promise.all(written.map(async location => {
    await internal.deleteObject(location).catch((error: unknown) => {
      left.push(location.key)
      problem = describeError(error)
    })
  }))
  if (left.length > 0) return fail('delete', `objects could not be deleted (${problem}): ${left.length} are left below ${keyFolder(written)}`, `allow s3:DeleteObject on arn:aws:s3:::${bucket}/* to the key of the service, and delete them`)
  if (problem !== '') return warn('delete', `multipart uploads could not be given up (${problem})`, 'allow s3:AbortMultipartUpload and s3:ListMultipartUploadParts to the key of the service')
  return ok('delete', 'what was written to look is removed')
}

function keyFolder (written: Site['written']): string {
  const key = written[0]?.key ?? ''
  return key.slice(0, key.lastIndexOf('/') + 1)
}
