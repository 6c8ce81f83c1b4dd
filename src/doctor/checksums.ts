import { createHash } from 'node:crypto'
import { fail, ok, type Probe } from './finding.js'
import { isRefused, sendRequest } from './send-request.js'
import { ONE_BYTE_MORE, PROBE_BYTES, probePut, type Site } from './site.js'

const checksums: Probe<Site> = {
  id: 'checksums',
  async run (site) {
    const put = async (name: string, of: Uint8Array): Promise<{ isTaken: boolean, isKept: boolean }> => {
      const location = site.at(name)
      const value = createHash('sha256').update(of).digest('base64')
      const reply = await sendRequest(await site.storage.presignPut(probePut(location, { checksum: { algorithm: 'SHA256', value } })), PROBE_BYTES)
      const isTaken = !isRefused(reply)
      const stored = isTaken ? await site.internal.headObject(location) : null
      return { isTaken, isKept: stored?.checksums.some(kept => kept.value === value) ?? false }
    }
    const [right, wrong] = [await put('checksum', PROBE_BYTES), await put('wrong-checksum', ONE_BYTE_MORE)]
    site.measured.checksums = right.isKept && !wrong.isTaken
    const isTrusted = site.config.s3.checksums
    if (!right.isTaken) return [fail('checksums', 'a PUT with the right SHA-256 is refused', isTrusted ? 'set S3_CHECKSUMS=false' : 'let no policy ask for a checksum, and send none')]
    if (site.measured.checksums) return [ok('checksums', isTrusted ? 'a SHA-256 is compared and kept' : 'a SHA-256 is compared and kept: S3_CHECKSUMS=true would do')]
    if (isTrusted) return [fail('checksums', wrong.isTaken ? 'a wrong SHA-256 is taken' : 'a SHA-256 is not kept', 'set S3_CHECKSUMS=false: a SHA-256 is then bound by the hash of the payload')]
    return [wrong.isTaken
      ? fail('checksums', 'a wrong SHA-256 is taken, although the hash of the payload is signed', 'use a store that compares x-amz-content-sha256, or promise nobody that checksums are compared')
      : ok('checksums', 'not kept; a wrong SHA-256 is refused by the hash of the payload')]
  }
}

export const checksumProbes: ReadonlyArray<Probe<Site>> = [checksums]
