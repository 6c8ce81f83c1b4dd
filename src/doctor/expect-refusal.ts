import { fail, ok, type Finding, type FindingId } from './finding.js'
import { isRefused, type Reply } from './send-request.js'

/** One finding for replies that must all be refusals. */
export function expectRefusal (id: FindingId, replies: readonly Reply[], { good, bad, fix }: { readonly good: string, readonly bad: string, readonly fix: string }): Finding {
  return replies.every(isRefused) ? ok(id, good) : fail(id, bad, fix)
}
