import type { Selectable } from 'kysely'
import { prepareQuery } from '../database/prepare-query.js'
import type { FilesTable } from '../database/schema.js'

type Row = Selectable<FilesTable>

/** What nearly every request begins with: the row that it names. */
export const findById = prepareQuery<{ id: string }, Row>((database, value) =>
  database.selectFrom('files').selectAll().where('id', '=', value('id')))

export const findInTenant = prepareQuery<{ id: string, tenant: string }, Row>((database, value) =>
  database.selectFrom('files').selectAll().where('id', '=', value('id')).where('tenant', '=', value('tenant')))

export const findOwn = prepareQuery<{ id: string, tenant: string, owner: string }, Row>((database, value) =>
  database.selectFrom('files').selectAll().where('id', '=', value('id')).where('tenant', '=', value('tenant')).where('owner', '=', value('owner')))

/** S3's id is looked up first: PostgreSQL would search all files of the owner for it while it has no statistics of the table. */
export const findMultipartUpload = prepareQuery<{ multipartUploadId: string, key: string, tenant: string, owner: string, policy: string }, Row>((database, value) =>
  database.with(name => name('named').materialized(), query => query.selectFrom('files').selectAll().where('multipart_upload_id', '=', value('multipartUploadId')))
    .selectFrom('named').selectAll().where('object_key', '=', value('key'))
    .where('tenant', '=', value('tenant')).where('owner', '=', value('owner')).where('policy', '=', value('policy')))
