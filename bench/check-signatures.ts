import { createHmac } from 'node:crypto'
import { verifyPresignedUrl } from '../test/helpers/sigv4.js'
import { SECRET_ACCESS_KEY } from './credentials.js'

/** @throws when this PUT's signature is wrong, or does not bind the size */
export function checkUrl (url: string, headers: Readonly<Record<string, string>>): void {
  const isValid = (headers: Readonly<Record<string, string>>): boolean => verifyPresignedUrl(url, { method: 'PUT', headers, secretAccessKey: SECRET_ACCESS_KEY }).isValid
  if (!isValid(headers)) throw new Error(`The signature is wrong: ${url}`)
  if (isValid({ ...headers, 'content-length': '1' })) throw new Error(`The signature does not bind the size: ${url}`)
}

/**
 * @throws when the signature of this form's policy is wrong
 * @see https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-post-example.html
 */
export function checkForm (fields: Readonly<Record<string, string>>): void {
  const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()
  const scope = (fields['X-Amz-Credential'] ?? '').split('/').slice(1)
  const signature = hmac(scope.reduce((key: string | Buffer, step) => hmac(key, step), `AWS4${SECRET_ACCESS_KEY}`) as Buffer, fields['Policy'] ?? '').toString('hex')
  if (signature !== fields['X-Amz-Signature']) throw new Error(`The signature of the form is wrong: ${JSON.stringify(fields)}`)
}
