import { openDatabase } from '../src/database/database.js'
import { verifyPresignedUrl } from '../test/helpers/sigv4.js'
import { SECRET_ACCESS_KEY } from './credentials.js'
import { UPLOAD, type ServerName } from './servers.js'

interface Created {
  readonly file: { readonly id: string, readonly sizeBytes: number }
  readonly upload: { readonly method: string, readonly url: string, readonly headers: Readonly<Record<string, string>> }
}

const SIZE_HEADER = { 'content-length': String(UPLOAD.sizeBytes) }
const OTHER_SIZE_HEADER = { 'content-length': String(UPLOAD.sizeBytes + 1) }

/**
 * Recomputes the signatures of these replies with a signer that shares no code with the service: fast and wrong is
 * no result. presignd's must also fail for one byte more, or the recomputation would prove nothing.
 * @returns how many URLs were checked
 * @throws at the first that is wrong, or that came twice
 */
export function checkUrls (name: ServerName, bodies: readonly string[]): number {
  if (name === 'jwt') return 0
  const urls = new Set<string>()
  for (const body of bodies) {
    const reply = JSON.parse(body)
    const { method, url, headers } = name === 'presignd' ? (reply as Created).upload : { method: 'PUT', url: reply.url as string, headers: {} }
    const isValid = (sizeHeader: Record<string, string>): boolean =>
      verifyPresignedUrl(url, { method, headers: { ...headers, ...sizeHeader }, secretAccessKey: SECRET_ACCESS_KEY }).isValid
    if (!isValid(SIZE_HEADER)) throw new Error(`${name} answered with a URL whose signature is wrong: ${url}`)
    if (name === 'presignd' && isValid(OTHER_SIZE_HEADER)) throw new Error(`${name} answered with a URL that does not bind the size: ${url}`)
    urls.add(url)
  }
  if (urls.size !== bodies.length) throw new Error(`${name} answered twice with the same URL`)
  return urls.size
}

/**
 * Compares the database, opened anew after the service has ended, with what clients were told.
 * @throws when a 201 has no row, a row has no 201, or a sampled reply differs from its row
 */
export async function checkRows (databaseUrl: string, answers: number, bodies: readonly string[]): Promise<void> {
  const database = openDatabase(databaseUrl, { onError: () => {} })
  try {
    const { rows } = await database.selectFrom('files').select(files => files.fn.countAll().as('rows')).executeTakeFirstOrThrow()
    if (Number(rows) !== answers) throw new Error(`${answers} replies were 201, and the database has ${rows} rows`)
    for (const body of bodies) {
      const { file, upload } = JSON.parse(body) as Created
      const row = await database.selectFrom('files').select(['object_key', 'size_bytes', 'status']).where('id', '=', file.id).executeTakeFirst()
      const isSame = row?.status === 'pending' && Number(row.size_bytes) === UPLOAD.sizeBytes && new URL(upload.url).pathname === `/${row.object_key}`
      if (!isSame) throw new Error(`The reply for ${file.id} is not what the database remembers`)
    }
  } finally {
    await database.destroy()
  }
}
