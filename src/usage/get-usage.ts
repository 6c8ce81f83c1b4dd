import { isAdmitted } from '../policies/check-upload.js'
import type { Services } from '../services.js'
import type { User } from '../user.js'

/** What a user holds and has reserved, for every policy that admits them or that they still hold files of. */
export async function getUsage ({ files, policies }: Services, user: User) {
  const held = await files.usageOf(user.tenant, user.owner)
  const admitted = [...policies.values()].filter(policy => isAdmitted(policy, user)).map(policy => policy.name)
  return [...new Set([...admitted, ...held.keys()])].map(policy => ({
    policy,
    ...held.get(policy) ?? { files: 0, bytes: 0, pending: 0 },
    limits: policies.get(policy)?.quota ?? {}
  }))
}
