// The route of tutorials on presigned URLs with Next.js: no token and no row.
import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'

const s3 = new S3Client({ region: process.env.S3_REGION })

export async function POST (request) {
  const { filename, contentType } = await request.json()
  const key = `uploads/${crypto.randomUUID()}-${filename}`
  const url = await getSignedUrl(s3, new PutObjectCommand({ Bucket: process.env.S3_BUCKET, Key: key, ContentType: contentType }), { expiresIn: 900 })
  return Response.json({ url, key })
}
