import { send, type Sent } from './send.js'

export interface PresignedForm { readonly method: string, readonly url: string, readonly fields: Readonly<Record<string, string>> }

/** Sends a form as a browser does: the fields in their order, then the file. More fields can be put before it. */
export async function sendForm (form: PresignedForm, file: Uint8Array, more: Readonly<Record<string, string>> = {}): Promise<Sent> {
  const boundary = '----presignd-test'
  const field = (name: string, value: string) => `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
  const body = Buffer.concat([
    Buffer.from(Object.entries({ ...form.fields, ...more }).map(([name, value]) => field(name, value)).join('')),
    Buffer.from(`--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="f"\r\ncontent-type: application/octet-stream\r\n\r\n`),
    file,
    Buffer.from(`\r\n--${boundary}--\r\n`)
  ])
  return await send({ method: 'POST', url: form.url, headers: { 'content-type': `multipart/form-data; boundary=${boundary}` } }, body)
}
