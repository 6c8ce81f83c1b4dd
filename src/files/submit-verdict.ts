import { ApiError } from '../errors.js'
import type { Services } from '../services.js'
import { isAdmin, isScanner, SCAN_SCOPE, type User } from '../user.js'
import type { File, LivingFile } from './file.js'
import { fileNotFound } from './find-file.js'
import { makeReady } from './make-ready.js'
import { purgeObject } from './purge-object.js'
import type { VerdictBody } from './schemas.js'

/**
 * Decides about a file that is scanned: clean makes it ready, infected makes it rejected and deletes its object.
 * The first verdict counts; the same one again gets the same answer.
 * @throws {ApiError} SCOPE_MISSING, FILE_NOT_FOUND, FILE_NOT_READY (it is not scanned yet), VERDICT_CONFLICT
 */
export async function submitVerdict (services: Services, user: User, id: string, body: VerdictBody): Promise<LivingFile> {
  if (!isScanner(user) && !isAdmin(user)) throw new ApiError('SCOPE_MISSING', `Verdicts need a token with the scope ${SCAN_SCOPE}.`)
  // A scanner looks at every owner's files, within its tenant.
  const scope = { tenant: user.tenant }
  const file = await services.files.find(id, scope)
  if (file?.status !== 'scanning') return decided(await followReplacement(services, file, scope), body)
  const outcome = await decide(services, file, body)
  // Someone else was faster: what they decided is the answer.
  return outcome ?? await submitVerdict(services, user, id, body)
}

async function decide (services: Services, file: File & { status: 'scanning' }, { verdict, detail }: VerdictBody): Promise<LivingFile | null> {
  if (verdict === 'clean') return await makeReady(services, file, file)
  const reason = `The scanner found something harmful${detail === undefined ? '' : `: ${detail}`}.`
  const rejected = await services.files.markRejected(file, reason, services.now())
  if (rejected) await purgeObject(services, rejected)
  return rejected
}

/** The tombstone of a replacement stands for the file that has its content now. */
async function followReplacement (services: Services, file: File | null, scope: { readonly tenant: string }): Promise<File | null> {
  return file?.status === 'deleted' && file.replacedInto !== null ? await services.files.find(file.replacedInto, scope) : file
}

function decided (file: File | null, { verdict }: VerdictBody): LivingFile {
  if (!file || file.status === 'deleted') throw fileNotFound()
  if (file.status === 'pending' || file.status === 'verifying') throw new ApiError('FILE_NOT_READY', `The file is ${file.status}: there is nothing to scan yet.`)
  if (file.status === 'ready' && verdict === 'clean') return file
  if (file.status === 'rejected' && verdict === 'infected') return file
  throw new ApiError('VERDICT_CONFLICT', file.status === 'ready' ? 'The file is ready already. DELETE /files/{id} takes it away.' : `The file is ${file.status} already, and its object is deleted.`)
}
