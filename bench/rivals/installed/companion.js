// Uppy's Companion as its documentation embeds it, for S3 alone: no token, no row, no policy.
import { tmpdir } from 'node:os'
import * as companion from '@uppy/companion'
import express from 'express'

const { app } = companion.app({
  secret: process.env.JWT_SECRET,
  filePath: tmpdir(),
  server: { host: '127.0.0.1', protocol: 'http' },
  uploadUrls: ['http://127.0.0.1/'],
  corsOrigins: true,
  s3: {
    bucket: process.env.S3_BUCKET,
    region: process.env.S3_REGION,
    key: process.env.AWS_ACCESS_KEY_ID,
    secret: process.env.AWS_SECRET_ACCESS_KEY,
    getKey: ({ filename }) => `${crypto.randomUUID()}-${filename}`,
    expires: 900
  }
})
const server = express().use(app).listen(0, '127.0.0.1', () => {
  process.stdout.write(`{"listening":"http://127.0.0.1:${server.address().port}"}\n`)
})
