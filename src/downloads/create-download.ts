import { ApiError } from '../errors.js'
import type { File, ReadyFile, ScanningFile } from '../files/file.js'
import { cleanFilename } from '../files/filename.js'
import { fileNotFound } from '../files/find-file.js'
import type { Services } from '../services.js'
import { isAdmin, isScanner, type User } from '../user.js'
import { allowedDisposition, renderContentDisposition } from './content-disposition.js'
import type { CreateDownloadBody } from './schemas.js'

/** A URL that nobody asked a life for has at least two thirds of it left, and is the same for a third. */
const WINDOWS_PER_LIFE = 3

/**
 * A URL to read a file with. What the reply will say of type and name comes from the row and is signed.
 * `user` is null for someone without a token, who sees public files alone.
 * @throws {ApiError} UNAUTHENTICATED (only without a token), FILE_NOT_FOUND, FILE_NOT_READY, INVALID_REQUEST
 */
export async function createDownload (services: Services, user: User | null, body: CreateDownloadBody) {
  const file = await getReadableFile(services, user, body.fileId)
  const policy = services.policies.get(file.policy)
  const longest = policy?.downloadUrlTtlSeconds ?? services.config.downloadUrlTtlSeconds
  if (body.expiresInSeconds !== undefined && body.expiresInSeconds > longest) {
    const message = `The policy "${file.policy}" allows at most ${longest} seconds.`
    throw new ApiError('INVALID_REQUEST', message, { errors: [{ path: '/expiresInSeconds', message }] })
  }
  const disposition = allowedDisposition(file.contentType, body.disposition ?? policy?.disposition ?? 'attachment')
  const filename = body.filename === undefined ? file.filename : cleanFilename(body.filename)
  const { method, url, headers, expiresAt } = await services.objectStorage.presignGet({
    bucket: file.bucket,
    key: file.key,
    method: body.method ?? 'GET',
    contentType: file.contentType,
    contentDisposition: renderContentDisposition(disposition, filename),
    // What a scanner looks at is not settled yet.
    viaCdn: file.status === 'ready',
    signedAt: services.now(),
    expiresInSeconds: body.expiresInSeconds ?? longest,
    // Who asks for a life gets exactly that.
    ...(body.expiresInSeconds === undefined && { windowSeconds: Math.floor(longest / WINDOWS_PER_LIFE) })
  })
  return { file, download: { method, url, headers, disposition, expiresAt: expiresAt.toISOString() } }
}

async function getReadableFile (services: Services, user: User | null, id: string): Promise<ReadyFile | ScanningFile> {
  const file = await services.files.findOfAnyOwner(id)
  if (user === null) {
    // Without a token, a private file and none at all look the same.
    if (file?.status === 'ready' && file.visibility === 'public') return file
    throw new ApiError('UNAUTHENTICATED', 'Send a token: Authorization: Bearer … (only public files are there without one).')
  }
  if (!file || file.status === 'deleted') throw fileNotFound()
  // The one way to the bytes of a file before they are decided about.
  if (file.status === 'scanning' && file.tenant === user.tenant && isScanner(user)) return file
  if (isOwn(file, user)) {
    if (file.status === 'ready') return file
    throw new ApiError('FILE_NOT_READY', `The file is ${file.status}. Only ready files can be downloaded.`)
  }
  const isShared = file.visibility === 'public' || (file.visibility === 'authenticated' && file.tenant === user.tenant)
  if (!isShared || file.status !== 'ready') throw fileNotFound()
  return file
}

function isOwn (file: File, user: User): boolean {
  return file.tenant === user.tenant && (file.owner === user.owner || isAdmin(user))
}
