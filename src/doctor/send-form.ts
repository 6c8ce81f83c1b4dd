import { sendRequest, type Reply } from './send-request.js'

/** Sends a form as a browser does: its fields in their order, then the file. */
export async function sendForm ({ url, fields }: { readonly url: string, readonly fields: Readonly<Record<string, string>> }, file: Uint8Array): Promise<Reply> {
  const boundary = '----presignd-doctor'
  const field = (name: string, value: string): string => `--${boundary}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`
  const body = Buffer.concat([
    Buffer.from(Object.entries(fields).map(([name, value]) => field(name, value)).join('')),
    Buffer.from(`--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="probe"\r\ncontent-type: application/octet-stream\r\n\r\n`),
    file,
    Buffer.from(`\r\n--${boundary}--\r\n`)
  ])
  return await sendRequest({ method: 'POST', url, headers: { 'content-type': `multipart/form-data; boundary=${boundary}` } }, body)
}
