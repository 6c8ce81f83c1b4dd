import type { Kysely, Selectable } from 'kysely'
import { query } from '../database/database.js'
import type { Database, UploadTicketsTable } from '../database/schema.js'
import type { OwnerScope } from '../user.js'
import type { Ticket } from './ticket.js'

/** All that is remembered of upload tickets. What they are good for is counted where uploads are inserted. */
export type TicketsRepository = ReturnType<typeof createTicketsRepository>

export function createTicketsRepository (database: Kysely<Database>) {
  return {
    async insert (ticket: Ticket, tokenHash: string): Promise<void> {
      await query(async () => await database.insertInto('upload_tickets').values({
        id: ticket.id,
        token_hash: tokenHash,
        tenant: ticket.tenant,
        owner: ticket.owner,
        policy: ticket.policy,
        scopes: JSON.stringify(ticket.scopes),
        claims: JSON.stringify(ticket.claims),
        max_files: ticket.maxFiles,
        max_bytes: ticket.maxBytes,
        used_files: ticket.usedFiles,
        used_bytes: ticket.usedBytes,
        created_at: ticket.createdAt.getTime(),
        expires_at: ticket.expiresAt.getTime(),
        revoked_at: null
      }).execute())
    },

    /** Null for a ticket that is unknown, revoked or over: the three cannot be told apart. */
    async findLive (tokenHash: string, now: Date): Promise<Ticket | null> {
      return await query(async () => {
        const row = await database.selectFrom('upload_tickets').selectAll().where('token_hash', '=', tokenHash)
          .where('expires_at', '>', now.getTime()).where('revoked_at', 'is', null).executeTakeFirst()
        return row ? toTicket(row) : null
      })
    },

    /** Newest first. */
    async listLive (tenant: string, owner: string, now: Date, limit: number): Promise<Ticket[]> {
      return await query(async () => {
        const rows = await database.selectFrom('upload_tickets').selectAll().where('tenant', '=', tenant).where('owner', '=', owner)
          .where('expires_at', '>', now.getTime()).where('revoked_at', 'is', null)
          .orderBy('created_at', 'desc').orderBy('id', 'desc').limit(limit).execute()
        return rows.map(toTicket)
      })
    },

    /**
     * From its commit on, nothing more is created with the ticket. Safe to repeat.
     * @returns false for a ticket that is unknown or someone else's
     */
    async revoke (id: string, scope: OwnerScope, now: Date): Promise<boolean> {
      return await query(async () => {
        let update = database.updateTable('upload_tickets').set({ revoked_at: now.getTime() }).where('id', '=', id).where('tenant', '=', scope.tenant)
        if (scope.owner !== undefined) update = update.where('owner', '=', scope.owner)
        return await update.returning('id').executeTakeFirst() !== undefined
      })
    },

    /** Forgets tickets that have been over since then. */
    async deleteEnded (before: Date): Promise<void> {
      await query(async () => await database.deleteFrom('upload_tickets').where('expires_at', '<', before.getTime()).execute())
    }
  }
}

function toTicket (row: Selectable<UploadTicketsTable>): Ticket {
  return {
    id: row.id,
    tenant: row.tenant,
    owner: row.owner,
    policy: row.policy,
    scopes: JSON.parse(row.scopes) as string[],
    claims: JSON.parse(row.claims) as Record<string, unknown>,
    maxFiles: row.max_files,
    maxBytes: row.max_bytes,
    usedFiles: row.used_files,
    usedBytes: row.used_bytes,
    createdAt: new Date(row.created_at),
    expiresAt: new Date(row.expires_at)
  }
}
