import { expectRefusal } from './expect-refusal.js'
import { fail, ok, type Finding, type Probe } from './finding.js'
import { sendForm } from './send-form.js'
import { describeReply, isRefused } from './send-request.js'
import { ONE_BYTE_MORE, PROBE_BYTES, PROBE_SECONDS, PROBE_TYPE, type Site } from './site.js'

const forms: Probe<Site> = {
  id: 'post',
  async run (site) {
    const isNeeded = site.uses('POST')
    const form = await site.storage.presignPost({
      ...site.at('post'),
      contentType: PROBE_TYPE,
      minSizeBytes: 1,
      maxSizeBytes: PROBE_BYTES.length,
      checksum: null,
      signedAt: new Date(),
      expiresInSeconds: PROBE_SECONDS
    })
    const plain = await sendForm(form, PROBE_BYTES)
    if (isRefused(plain)) {
      site.measured.postPolicies = false
      const message = `forms are refused (${describeReply(plain)})`
      return [isNeeded ? fail('post', message, `leave POST out of the methods of ${namesOf(site)}`) : ok('post', `${message}, and no policy asks for them`)]
    }
    const { key: other } = site.at('post-other-key')
    const length = expectRefusal('post-length', [await sendForm(form, ONE_BYTE_MORE), await sendForm(form, Buffer.alloc(0))], {
      good: 'a form with a byte too many or none is refused',
      bad: 'a form with a byte too many or too few is taken',
      fix: `leave POST out of the methods of ${namesOf(site)}, or use a store that heeds content-length-range`
    })
    const changes: ReadonlyArray<Record<string, string>> = [{ key: other }, { 'content-type': 'text/html' }, { 'x-amz-meta-probe': 'x' }, { 'x-amz-acl': 'public-read' }]
    const replies = []
    for (const change of changes) replies.push(await sendForm({ ...form, fields: { ...form.fields, ...change } }, PROBE_BYTES))
    const fields = expectRefusal('post-fields', replies, {
      good: 'a form with another key, type or field is refused',
      bad: 'a form with another key, type or field than signed is taken',
      fix: `leave POST out of the methods of ${namesOf(site)}, or use a store that enforces POST policies`
    })
    site.measured.postPolicies = length.level === 'ok' && fields.level === 'ok'
    return [ok('post', 'a signed form arrives'), ...[length, fields].map(finding => isNeeded ? finding : unneeded(finding))]
  }
}

/** What is wrong with a road that nobody takes does no harm: no form is ever signed. */
function unneeded ({ id, level, message }: Finding): Finding {
  return ok(id, level === 'ok' ? message : `${message}, but no policy asks for forms`)
}

function namesOf ({ policies }: Site): string {
  return policies.filter(({ methods }) => methods.includes('POST')).map(({ name }) => name).join(', ')
}

export const formProbes: ReadonlyArray<Probe<Site>> = [forms]
