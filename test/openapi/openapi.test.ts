import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import createClient from 'openapi-fetch'
import t from 'tap'
import { parse } from 'yaml'
import type { paths } from '../../src/client/api-types.js'
import { errors } from '../../src/errors.js'
import { strictAjv } from '../../src/strict-ajv.js'
import { VERSION } from '../../src/version.js'
import { generateClientTypes, generateOpenapi } from '../helpers/openapi.js'
import { renderConfigurationPage, renderErrorsPage } from '../helpers/pages.js'
import { png } from '../helpers/samples.js'
import { startService } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'

interface Operation {
  readonly operationId?: string
  readonly summary?: string
  readonly description?: string
  readonly tags?: readonly string[]
  readonly security?: ReadonlyArray<Record<string, unknown>>
  readonly responses: Record<string, { readonly description?: string, readonly content?: Record<string, { readonly schema?: { readonly $ref?: string } }> }>
}
interface Description {
  readonly openapi: string
  readonly info: { readonly version: string }
  readonly paths: Record<string, Record<string, Operation>>
  readonly components: { readonly schemas: Record<string, { readonly properties: Record<string, { readonly enum?: readonly string[] }> }> }
}

const committed = readFileSync('openapi.yaml', 'utf8')
const description = parse(committed) as Description
const operations = Object.entries(description.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => ({ path, method, operation })))

t.test('the committed openapi.yaml is what the routes say; "npm run openapi" writes it', async t => {
  t.equal(await generateOpenapi(), committed)
})

t.test('the committed client types are what openapi-typescript makes of it, in the style of the rest', async t => {
  t.equal(await generateClientTypes('openapi.yaml'), readFileSync('src/client/api-types.ts', 'utf8'))
})

t.test('the committed catalogue of errors and list of variables are what the source says; "npm run openapi" writes them', async t => {
  t.equal(renderErrorsPage(committed), readFileSync('docs/errors.md', 'utf8'))
  t.equal(renderConfigurationPage(), readFileSync('docs/configuration.md', 'utf8'))
})

t.test('the version is the one in package.json', async t => {
  t.equal(description.openapi, '3.1.0')
  t.equal(description.info.version, VERSION)
  t.equal(JSON.parse(readFileSync('package.json', 'utf8')).version, VERSION)
})

t.test('the linter has nothing to say', async t => {
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['node_modules/@redocly/cli/bin/cli.js', 'lint', 'openapi.yaml', '--extends=recommended', '--format=json'], { env: { ...process.env, REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true' } })
  const { totals, problems } = JSON.parse(stdout.slice(stdout.indexOf('{'))) as { totals: { errors: number, warnings: number }, problems: unknown[] }
  t.match(totals, { errors: 0, warnings: 0 }, JSON.stringify(problems))
  t.match(stderr, /openapi.yaml/, 'it has read the file')
})

t.test('every operation says what it is', async t => {
  t.ok(operations.length >= 17)
  t.equal(new Set(operations.map(({ operation }) => operation.operationId)).size, operations.length)
  for (const { path, method, operation } of operations) {
    t.match(operation, { operationId: /^[a-z][A-Za-z]+$/, summary: /\w/, description: /\w/, tags: [String] }, `${method} ${path}`)
  }
})

t.test('every error is listed by its status, with the one shape of problems', async t => {
  t.same(description.components.schemas['Problem']?.properties['code']?.enum, Object.keys(errors))
  const listed = readFileSync('README.md', 'utf8').split('\n').filter(line => /^\| \d{3}/.test(line)).flatMap(line => [...line.matchAll(/`([A-Z_]+)`/g)].map(([, code]) => code))
  t.same(listed.sort(), Object.keys(errors).sort(), 'the README lists each once')
  for (const { path, method, operation } of operations) {
    for (const [status, response] of Object.entries(operation.responses)) {
      t.match(status, /^[2345]\d\d$/)
      if (Number(status) >= 400) t.strictSame(response.content, { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } }, `${method} ${path} ${status}`)
    }
    const expected = operation.security?.length === 0 ? ['429', '500', '503'] : ['401', '429', '500', '503']
    for (const status of expected) t.ok(operation.responses[status], `${method} ${path} lists ${status}`)
  }
})

t.test('a generated client drives an upload and a download', async t => {
  const s3 = await startTestS3(t)
  const service = await startService(t, s3)
  const baseUrl = await service.app.listen({ port: 0, host: '127.0.0.1' })
  const client = createClient<paths>({ baseUrl, headers: { authorization: `Bearer ${await service.token('ada')}` } })
  const picture = png()

  const created = await client.POST('/uploads', { body: { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: picture.length, method: 'auto' } })
  const { file, upload } = created.data!
  if (upload?.method !== 'PUT') return t.fail('the method of the instructions tells them apart')
  const put = await fetch(upload.url, { method: upload.method, headers: upload.headers, body: new Uint8Array(picture) })
  t.equal(put.status, 200)
  const completed = await client.POST('/uploads/{id}/complete', { params: { path: { id: file.id } }, body: {} })
  t.equal(completed.data?.file.status, 'ready')
  const { data } = await client.POST('/downloads', { body: { fileId: file.id, method: 'GET' } })
  t.strictSame(Buffer.from(await (await fetch(data!.download.url)).arrayBuffer()), picture)
  const missing = await client.GET('/files/{id}', { params: { path: { id: 'nope' } } })
  t.equal(missing.error?.code, 'FILE_NOT_FOUND', 'errors have their type')
  const redirected = await client.GET('/downloads/{fileId}', { params: { path: { fileId: file.id } }, parseAs: 'arrayBuffer' })
  t.strictSame(Buffer.from(redirected.data as unknown as ArrayBuffer), picture, 'the redirect, as browsers follow it')
})

t.test('instructions, which are written without a schema, are what openapi.yaml says of their method, and nothing more', async t => {
  const { call, token } = await startService(t, await startTestS3(t))
  const ada = await token('ada')
  const ajv = strictAjv().addSchema(JSON.parse((await call('GET', '/openapi.json')).body) as object, 'api')
  const bytes = { contentType: 'application/octet-stream', filename: 'a.bin', policy: 'parts' }
  const uploads = [
    { name: 'PutInstructions', body: { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: 10 } },
    { name: 'PostInstructions', body: { policy: 'forms', filename: 'a.png', contentType: 'image/png', sizeBytes: 10 } },
    { name: 'MultipartInstructions', body: { ...bytes, sizeBytes: 11 * 1024 ** 2 } }
  ]
  const { data } = (await call('POST', '/uploads/batch', { token: ada, body: { uploads: uploads.map(({ body }) => body) } })).json()
  for (const [index, { name, body }] of uploads.entries()) {
    const validate = ajv.compile({ $ref: `api#/components/schemas/${name}` })
    const { file, upload } = (await call('POST', '/uploads', { token: ada, body })).json()
    for (const instructions of [upload, data[index].upload, (await call('GET', `/uploads/${file.id}`, { token: ada })).json().upload]) {
      t.ok(validate(instructions), `${name}: ${ajv.errorsText(validate.errors)}`)
    }
  }
})

t.test('/openapi.json, /openapi.yaml are open; /docs shows them only where switched on', async t => {
  const s3 = await startTestS3(t)
  const closed = await startService(t, s3)
  t.equal((await closed.call('GET', '/openapi.yaml')).body, committed)
  t.strictSame((await closed.call('GET', '/openapi.json')).json(), description)
  t.equal((await closed.call('GET', '/docs')).statusCode, 404)
  const open = await startService(t, s3, { env: { DOCS_UI: 'true' } })
  const page = await open.call('GET', '/docs/')
  t.equal(page.statusCode, 200)
  t.match(page.headers['content-type'], /^text\/html/)
  t.notMatch(page.body, /https?:\/\//, 'without anything from elsewhere')
})
