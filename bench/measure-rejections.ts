import type { ChildProcess } from 'node:child_process'
import type { Target } from './measure-targets.js'
import { upload } from './operations.js'
import type { Server } from './servers.js'

/** What is refused has to cost less than what is done: else refusing is an attack. A body that is too large is not among them, since it costs its connection. */
export const REJECTIONS: ReadonlyArray<{ readonly label: string, readonly status: number, readonly headers?: Readonly<Record<string, string>>, readonly body: string }> = [
  { label: 'without a token', status: 401, headers: { authorization: '' }, body: JSON.stringify(upload) },
  { label: 'with a token of another secret', status: 401, headers: { authorization: `Bearer ${['{"alg":"HS256"}', '{"sub":"ada"}'].map(text => Buffer.from(text).toString('base64url')).join('.')}.${'x'.repeat(43)}` }, body: JSON.stringify(upload) },
  { label: 'not JSON', status: 415, headers: { 'content-type': 'text/plain' }, body: JSON.stringify(upload) },
  { label: 'a property too many', status: 400, body: JSON.stringify({ ...upload, key: 'of-my-choice' }) },
  { label: 'a type that the policy does not take', status: 415, body: JSON.stringify({ ...upload, contentType: 'text/html' }) }
]

export function rejectionTargets ({ child, request }: Pick<Server, 'child' | 'request'> & { readonly child: ChildProcess }): Target[] {
  return REJECTIONS.map(({ label, status, headers, body }) => ({ label, child, request: { ...request, headers: { ...request.headers, ...headers }, body, status } }))
}
