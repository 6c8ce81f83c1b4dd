import { readRequiredXml } from './documents.js'
import type { BucketCall, Reply } from './operation.js'
import { S3Error } from './s3-error.js'
import type { CorsRule } from './stored-object.js'
import { elements, renderXml, text, texts, type XmlElement } from './xml.js'

const methods = new Set(['GET', 'PUT', 'HEAD', 'POST', 'DELETE'])

function parseRule (rule: XmlElement): CorsRule {
  const allowedOrigins = texts(rule, 'AllowedOrigin')
  const allowedMethods = texts(rule, 'AllowedMethod')
  const allowedHeaders = texts(rule, 'AllowedHeader')
  if (allowedOrigins.length === 0 || allowedMethods.length === 0) throw new S3Error('MalformedXML')
  const wrongMethod = allowedMethods.find((method) => !methods.has(method))
  if (wrongMethod !== undefined) throw new S3Error('InvalidRequest', `Found unsupported HTTP method in CORS config. Unsupported method is ${wrongMethod}`)
  if (allowedOrigins.some((origin) => origin.split('*').length > 2)) throw new S3Error('InvalidRequest', 'AllowedOrigin can not have more than one wildcard.')
  if (allowedHeaders.some((name) => name.split('*').length > 2)) throw new S3Error('InvalidRequest', 'AllowedHeader can not have more than one wildcard.')
  const maxAge = text(rule, 'MaxAgeSeconds')
  if (maxAge !== undefined && !/^\d+$/.test(maxAge)) throw new S3Error('MalformedXML')
  return {
    id: text(rule, 'ID'),
    allowedOrigins,
    allowedMethods,
    allowedHeaders,
    exposeHeaders: texts(rule, 'ExposeHeader'),
    maxAgeSeconds: maxAge === undefined ? undefined : Number(maxAge)
  }
}

/** @see https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketCors.html */
export async function putBucketCors ({ bucket, payload }: BucketCall): Promise<Reply> {
  const rules = elements(await readRequiredXml(payload, 'CORSConfiguration'), 'CORSRule').map(parseRule)
  if (rules.length === 0 || rules.length > 100) throw new S3Error('MalformedXML')
  await bucket.save({ ...bucket.stored, cors: rules })
  return { status: 200 }
}

export async function getBucketCors ({ bucket }: BucketCall): Promise<Reply> {
  if (bucket.stored.cors === undefined) throw new S3Error('NoSuchCORSConfiguration', undefined, { BucketName: bucket.stored.name })
  return {
    status: 200,
    body: renderXml('CORSConfiguration', {
      CORSRule: bucket.stored.cors.map((rule) => ({
        ID: rule.id,
        AllowedOrigin: rule.allowedOrigins,
        AllowedMethod: rule.allowedMethods,
        AllowedHeader: rule.allowedHeaders,
        ExposeHeader: rule.exposeHeaders,
        MaxAgeSeconds: rule.maxAgeSeconds
      }))
    })
  }
}

export async function deleteBucketCors ({ bucket }: BucketCall): Promise<Reply> {
  await bucket.save({ ...bucket.stored, cors: undefined })
  return { status: 204 }
}
