import type { Services } from '../services.js'
import type { User } from '../user.js'
import { isAdmitted } from './check-upload.js'
import type { Policy } from './policy.js'

/** The policies that admit this user, in the order of the file. */
export function listPolicies ({ policies }: Services, user: User): Policy[] {
  return [...policies.values()].filter(policy => isAdmitted(policy, user))
}
