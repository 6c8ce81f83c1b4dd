import { createHmac, hash } from 'node:crypto'

const EXPIRES_IN_SECONDS = 900

export interface HandSigner {
  /**
   * @param path encoded, like the rest of the query
   * @param headers with `host`, in order
   */
  signPut (path: string, moreQuery: string, headers: Readonly<Record<string, string>>): string
  signForm (bucket: string, key: string, contentType: string, maxSizeBytes: number): Record<string, string>
}

/** What one would write by hand for this bench alone, with the key of the day kept: nothing but what these requests need. */
export function createHandSigner (accessKeyId: string, secretAccessKey: string, region: string): HandSigner {
  const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()
  let today = ''
  let key: Buffer = Buffer.alloc(0)

  function stamp (): { readonly date: string, readonly scope: string } {
    const date = `${new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`
    const day = date.slice(0, 8)
    if (day !== today) {
      today = day
      key = [day, region, 's3', 'aws4_request'].reduce<Buffer>(hmac, Buffer.from(`AWS4${secretAccessKey}`))
    }
    return { date, scope: `${day}/${region}/s3/aws4_request` }
  }

  return {
    signPut (path, moreQuery, headers) {
      const { date, scope } = stamp()
      let canonicalHeaders = ''
      for (const name in headers) canonicalHeaders += `${name}:${headers[name]}\n`
      const names = Object.keys(headers).join(';')
      const query = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${encodeURIComponent(`${accessKeyId}/${scope}`)}&X-Amz-Date=${date}&X-Amz-Expires=${EXPIRES_IN_SECONDS}&X-Amz-SignedHeaders=${encodeURIComponent(names)}${moreQuery}`
      const request = hash('sha256', `PUT\n${path}\n${query}\n${canonicalHeaders}\n${names}\nUNSIGNED-PAYLOAD`)
      const signature = createHmac('sha256', key).update(`AWS4-HMAC-SHA256\n${date}\n${scope}\n${request}`).digest('hex')
      return `https://${headers['host']}${path}?${query}&X-Amz-Signature=${signature}`
    },

    signForm (bucket, objectKey, contentType, maxSizeBytes) {
      const { date, scope } = stamp()
      const fields: Record<string, string> = {
        bucket, key: objectKey, 'content-type': contentType, success_action_status: '201', 'X-Amz-Algorithm': 'AWS4-HMAC-SHA256', 'X-Amz-Credential': `${accessKeyId}/${scope}`, 'X-Amz-Date': date
      }
      const conditions = [['content-length-range', 1, maxSizeBytes], ...Object.entries(fields).map(([name, value]) => ({ [name]: value }))]
      const policy = Buffer.from(JSON.stringify({ expiration: new Date(Date.now() + EXPIRES_IN_SECONDS * 1000), conditions })).toString('base64')
      return { ...fields, Policy: policy, 'X-Amz-Signature': createHmac('sha256', key).update(policy).digest('hex') }
    }
  }
}
