// Better Upload as its documentation shows it with Hono: no token and no row.
import { serve } from '@hono/node-server'
import { handleRequest, route } from '@better-upload/server'
import { custom } from '@better-upload/server/clients'
import { Hono } from 'hono'

const region = process.env.S3_REGION
const router = {
  client: custom({
    host: `s3.${region}.amazonaws.com`,
    accessKeyId: process.env.AWS_ACCESS_KEY_ID,
    secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY,
    region,
    secure: true,
    forcePathStyle: false
  }),
  bucketName: process.env.S3_BUCKET,
  routes: { pictures: route({ fileTypes: ['image/png', 'image/jpeg'], maxFileSize: 10 * 1024 * 1024 }) }
}
const app = new Hono()
app.post('/upload', context => handleRequest(context.req.raw, router))
serve({ fetch: app.fetch, hostname: '127.0.0.1', port: 0 }, ({ port }) => {
  process.stdout.write(`{"listening":"http://127.0.0.1:${port}"}\n`)
})
