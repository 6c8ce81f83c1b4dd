import { ApiError } from '../errors.js'
import type { Services } from '../services.js'
import { ADMIN_SCOPE, isAdmin, type User } from '../user.js'
import type { FileStatus, LivingFile } from './file.js'
import { parseCursor, renderCursor } from './list-cursor.js'
import type { ListFilesQuery } from './schemas.js'

const DEFAULT_LIMIT = 50

/**
 * One page of a user's files, newest first.
 * @throws {ApiError} INVALID_REQUEST for a cursor of another listing, SCOPE_MISSING for another owner's files
 */
export async function listFiles (services: Services, user: User, query: ListFilesQuery): Promise<{ data: LivingFile[], nextCursor?: string }> {
  if (query.owner !== undefined && query.owner !== user.owner && !isAdmin(user)) {
    throw new ApiError('SCOPE_MISSING', `Listing another owner's files needs a token with the scope ${ADMIN_SCOPE}.`)
  }
  const owner = query.owner ?? user.owner
  const status = (query.status ?? 'ready') as FileStatus
  const limit = query.limit ?? DEFAULT_LIMIT
  const listing = JSON.stringify([user.tenant, owner, status, query.policy])
  const files = await services.files.list({
    tenant: user.tenant,
    owner,
    status,
    // One more than asked for tells whether there is a next page.
    limit: limit + 1,
    ...(query.policy !== undefined && { policy: query.policy }),
    ...(query.cursor !== undefined && { after: parseCursor(services.cursorSecret, listing, query.cursor) })
  })
  const data = files.slice(0, limit) as LivingFile[]
  const last = data.at(-1)
  return files.length > limit && last ? { data, nextCursor: renderCursor(services.cursorSecret, listing, last) } : { data }
}
