import { randomUUID } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import type * as sqlite from '@photostructure/sqlite'
import jwt from '@fastify/jwt'
import { Type, type TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify from 'fastify'

/**
 * What tutorials on presigned URLs build: a token, a schema, `getSignedUrl`, one client. No policy, no log, no
 * security headers, a URL that binds neither size nor content type, and a row only where TUTORIAL_DATABASE is set:
 * it does less than presignd.
 */
const app = fastify().withTypeProvider<TypeBoxTypeProvider>()
await app.register(jwt, { secret: process.env['JWT_SECRET'] ?? '' })

const s3 = new S3Client({ region: process.env['S3_REGION'] ?? 'us-east-1' })
const EXPIRES_IN_SECONDS = 900
const ALLOWED_TYPES = ['image/png', 'image/jpeg']

const remember = await openDatabase()

app.post('/uploads', {
  onRequest: async request => { await request.jwtVerify() },
  schema: {
    body: Type.Object({
      filename: Type.String({ minLength: 1, maxLength: 255 }),
      contentType: Type.String(),
      sizeBytes: Type.Integer({ minimum: 0, maximum: 10 * 1024 * 1024 })
    }),
    response: {
      201: Type.Object({ key: Type.String(), url: Type.String(), expiresInSeconds: Type.Integer() }),
      415: Type.Object({ error: Type.String() })
    }
  }
}, async (request, reply) => {
  const { filename, contentType } = request.body
  if (!ALLOWED_TYPES.includes(contentType)) return await reply.code(415).send({ error: 'This type is not allowed' })
  // The compiler thinks of presignd's own users here.
  const { sub } = request.user as unknown as { sub: string }
  const key = `uploads/${sub}/${randomUUID()}-${encodeURIComponent(filename)}`
  const command = new PutObjectCommand({ Bucket: process.env['S3_BUCKET'], Key: key, ContentType: contentType })
  remember?.(key, sub, filename, contentType)
  const url = await getSignedUrl(s3, command, { expiresIn: EXPIRES_IN_SECONDS })
  return await reply.code(201).send({ key, url, expiresInSeconds: EXPIRES_IN_SECONDS })
})

await app.listen({ host: '127.0.0.1', port: 0 })
process.stdout.write(`{"listening":"http://127.0.0.1:${(app.server.address() as AddressInfo).port}"}\n`)

/** One row for each request, as durable as presignd's. */
async function openDatabase (): Promise<((...row: [key: string, owner: string, filename: string, contentType: string]) => unknown) | null> {
  const { TUTORIAL_DATABASE } = process.env
  if (TUTORIAL_DATABASE === undefined) return null
  const builtin = process.getBuiltinModule?.('node:sqlite') as Pick<typeof sqlite, 'DatabaseSync'> | undefined
  const { DatabaseSync } = builtin ?? await import('@photostructure/sqlite')
  const database = new DatabaseSync(TUTORIAL_DATABASE)
  database.exec('pragma journal_mode = wal; pragma synchronous = full; create table files (key text primary key, owner text, filename text, content_type text, created_at integer)')
  const insert = database.prepare('insert into files values (?, ?, ?, ?, unixepoch())')
  process.once('exit', () => database.close())
  return (...row) => insert.run(...row)
}
