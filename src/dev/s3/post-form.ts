import { finished } from 'node:stream/promises'
import type { Readable } from 'node:stream'

import busboy from 'busboy'

import { header, type S3Request } from './request.js'
import { S3Error } from './s3-error.js'

/** A form up to its file; the file is still to be read. */
export interface PostForm {
  /** By lower-case name; `${filename}` is already replaced. */
  readonly fields: ReadonlyMap<string, string>
  /** The file's bytes; ends only when the whole form has arrived well-formed. What stands behind the file is ignored. */
  readonly file: AsyncGenerator<Buffer, undefined>
}

/** "The form data before the file may not be larger than 20 KB." @see https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html */
const maxFieldsBytes = 20 * 1024

function openParser (request: S3Request): busboy.Busboy {
  try {
    return busboy({ headers: request.message.headers, defParamCharset: 'utf8', limits: { fieldSize: maxFieldsBytes, fieldNameSize: maxFieldsBytes } })
  } catch (error) {
    throw new S3Error('MalformedPOSTRequest', undefined, { Cause: error instanceof Error ? error.message : '' })
  }
}

async function * readFile (file: Readable, end: Promise<void>): AsyncGenerator<Buffer, undefined> {
  try {
    for await (const chunk of file.iterator({ destroyOnReturn: false })) yield chunk as Buffer
    await end
  } catch {
    throw new S3Error('MalformedPOSTRequest')
  }
}

/** `${filename}` "is automatically replaced with the name of the file provided by the user and is recognized by all form fields". */
function expandFileName (fields: ReadonlyMap<string, string>, fileName: string): Map<string, string> {
  // The signed policy is text to verify, not a value of the object.
  return new Map([...fields].map(([name, value]) => [name, name === 'policy' ? value : value.replace(/\$\{filename\}/g, () => fileName)]))
}

/**
 * Reads the form's fields and hands the open file to `use`.
 * @throws {S3Error} MalformedPOSTRequest, MaxPostPreDataLengthExceeded, InvalidArgument for a field given twice or a form without a file
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTForms.html
 */
export async function withPostForm<Result> (request: S3Request, use: (form: PostForm) => Promise<Result>): Promise<Result> {
  if (header(request, 'content-length') === undefined) throw new S3Error('MissingContentLength')
  const parser = openParser(request)
  const { message } = request
  const cut = (): void => { if (!message.complete) parser.destroy(new Error('The client went away')) }
  message.once('close', cut)
  const end = finished(parser)
  end.catch(() => {})
  try {
    const opened = readFields(parser)
    request.sendContinue()
    message.pipe(parser)
    return await use(await opened(end))
  } finally {
    message.off('close', cut)
    message.unpipe(parser)
    parser.destroy()
  }
}

function readFields (parser: busboy.Busboy): (end: Promise<void>) => Promise<PostForm> {
  const fields = new Map<string, string>()
  let sizeBytes = 0
  let isFileSeen = false
  const form = new Promise<{ readonly fileName: string, readonly file: Readable | undefined, readonly text: string }>((resolve, reject) => {
    parser.on('field', (fieldName, value, info) => {
      const name = fieldName.toLowerCase()
      if (isFileSeen) return
      if (name === 'file' && !info.valueTruncated) {
        isFileSeen = true
        resolve({ fileName: '', file: undefined, text: value })
        return
      }
      sizeBytes += Buffer.byteLength(name) + Buffer.byteLength(value)
      if (sizeBytes > maxFieldsBytes || info.valueTruncated || info.nameTruncated) reject(new S3Error('MaxPostPreDataLengthExceeded'))
      // Two values of one name could be checked and used one each.
      if (fields.has(name)) reject(new S3Error('InvalidArgument', `The form field ${name} must be given once.`, { ArgumentName: name }))
      fields.set(name, value)
    })
    parser.on('file', (fieldName, file, info) => {
      // A file that nobody will read has to be let through.
      if (isFileSeen || fieldName.toLowerCase() !== 'file') {
        file.resume()
        if (!isFileSeen) reject(new S3Error('InvalidArgument', 'POST requires exactly one file upload per request.', { ArgumentName: 'file' }))
        return
      }
      isFileSeen = true
      // Without a listener an early refusal would end the process when the parser is destroyed.
      file.on('error', () => {})
      resolve({ fileName: info.filename ?? '', file, text: '' })
    })
    parser.on('error', () => { reject(new S3Error('MalformedPOSTRequest')) })
    parser.on('close', () => { reject(new S3Error('InvalidArgument', 'POST requires exactly one file upload per request.', { ArgumentName: 'file' })) })
  })
  return async (end) => {
    const { fileName, file, text } = await form
    return { fields: expandFileName(fields, fileName), file: file === undefined ? readText(text, end) : readFile(file, end) }
  }
}

/** A file that a script sent as a plain field. */
async function * readText (text: string, end: Promise<void>): AsyncGenerator<Buffer, undefined> {
  yield Buffer.from(text)
  try {
    await end
  } catch {
    throw new S3Error('MalformedPOSTRequest')
  }
}
