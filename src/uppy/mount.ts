import type { User } from '../user.js'

/** Who uploads under which policy: what the address that a client is given says of its requests. */
export interface Mount {
  readonly user: User
  readonly policy: string
}
