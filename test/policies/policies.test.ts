import { randomUUID } from 'node:crypto'
import t from 'tap'
import type { ApiError } from '../../src/errors.js'
import { checkUpload, isContentTypeAllowed, type UploadRequest } from '../../src/policies/check-upload.js'
import { loadPolicies, parsePolicies, parseSizeBytes, PolicyFileError } from '../../src/policies/load-policies.js'
import { chooseMethod, choosePartSize } from '../../src/policies/choose-method.js'
import { findIds, findKeyPrefix, findKeyTemplateProblem, keyPattern, renderExtension, renderObjectKey, renderSlug } from '../../src/policies/object-key.js'
import type { Policy, UploadMethod } from '../../src/policies/policy.js'
import type { User } from '../../src/user.js'

const defaults = { uploadUrlTtlSeconds: 900, downloadUrlTtlSeconds: 600 }
const yaml = (body: string) => `policies:\n  p:\n    contentTypes: [image/png]\n    maxSize: 10\n    key: "{fileId}"\n${body.split('\n').map(line => `    ${line}\n`).join('')}`
const policy = (body = '') => parsePolicies(yaml(body), 'p.yaml', defaults).policies.get('p') as Policy

t.test('content types', async t => {
  const table: ReadonlyArray<[name: string, allowed: string[], contentType: string, expected: boolean]> = [
    ['the very type', ['image/png'], 'image/png', true],
    ['another type', ['image/png'], 'image/jpeg', false],
    ['a type of the kind', ['image/*'], 'image/webp', true],
    ['a type with + and .', ['application/*'], 'application/vnd.api+json', true],
    ['T17: a kind that only begins alike', ['image/*'], 'imagex/png', false],
    ['T17: SVG is no image by wildcard', ['image/*'], 'image/svg+xml', false],
    ['T17: no document of XML is a film by wildcard', ['video/*'], 'video/x+xml', false],
    ['SVG by name', ['image/svg+xml'], 'image/svg+xml', true],
    ['T17: capitals', ['image/png'], 'IMAGE/PNG', false],
    ['T17: a parameter', ['image/png'], 'image/png;x=y', false],
    ['T17: a comma', ['image/*'], 'image/png,text/html', false],
    ['T17: a comma and a space', ['image/*'], 'image/png, text/html', false],
    ['T17: the other way round', ['image/*'], 'text/html;image/png', false],
    ['T17: the wildcard as a type', ['image/*'], 'image/*', false],
    ['T17: a line break', ['image/*'], 'image/png\r\n', false],
    ['T17: a trailing space', ['image/*'], 'image/png ', false],
    ['no slash', ['image/*'], 'image', false],
    ['nothing', ['image/*'], '', false],
    ['a path behind the type', ['image/*'], 'image/png/x', false]
  ]
  for (const [name, allowed, contentType, expected] of table) t.test(name, async t => { t.equal(isContentTypeAllowed(allowed, contentType), expected) })
})

t.test('checkUpload', async t => {
  const user: User = { owner: 'ada', tenant: '', scopes: new Set(['a']), claims: { plan: 'pro', nested: { level: 3 } } }
  const good: UploadRequest = { contentType: 'image/png', sizeBytes: 10, method: 'auto' }
  const table: ReadonlyArray<[name: string, policy: Policy, change: Partial<UploadRequest>, code: string | null]> = [
    ['accepts what fits', policy(), {}, null],
    ['accepts PUT by name', policy(), { method: 'PUT' }, null],
    ['accepts nothing over the limit', policy(), { sizeBytes: 11 }, 'FILE_TOO_LARGE'],
    ['accepts nothing under the least', policy('minSize: 10'), { sizeBytes: 9 }, 'INVALID_REQUEST'],
    ['accepts the least', policy('minSize: 10'), { sizeBytes: 10 }, null],
    ['accepts an empty file by default', policy(), { sizeBytes: 0 }, null],
    ['accepts no other type', policy(), { contentType: 'text/html' }, 'CONTENT_TYPE_NOT_ALLOWED'],
    ['asks for a checksum where it is required', policy('methods: [PUT]\nverify: { checksum: required }'), {}, 'INVALID_REQUEST'],
    ['accepts a checksum where it is required', policy('methods: [PUT]\nverify: { checksum: required }'), { checksumSha256: 'x' }, null],
    ['accepts one checksum, not two', policy(), { checksumSha256: 'x', checksumCrc32: 'y' }, 'INVALID_REQUEST'],
    ['accepts no method that is not listed', policy('methods: [PUT]'), { method: 'POST' }, 'POLICY_FORBIDDEN'],
    ['accepts no SHA-256 for parts', policy(), { method: 'multipart', checksumSha256: 'x' }, 'INVALID_REQUEST'],
    ['asks for a scope', policy('require: { scopes: [a, b] }'), {}, 'SCOPE_MISSING'],
    ['accepts the scope', policy('require: { scopes: [a] }'), {}, null],
    ['asks for a claim', policy('require: { claims: { plan: free } }'), {}, 'POLICY_FORBIDDEN'],
    ['accepts a claim by its path', policy('require: { claims: { nested.level: 3 } }'), {}, null],
    ['tells a number from a text in a claim', policy('require: { claims: { nested.level: "3" } }'), {}, 'POLICY_FORBIDDEN'],
    ['tells a missing claim from undefined', policy('require: { claims: { toString: x } }'), {}, 'POLICY_FORBIDDEN'],
    ['looks at admission before the file', policy('require: { scopes: [b] }'), { sizeBytes: 11 }, 'SCOPE_MISSING']
  ]
  for (const [name, policy, change, code] of table) {
    t.test(name, async t => {
      const check = () => checkUpload(policy, user, { ...good, ...change })
      if (code === null) t.doesNotThrow(check)
      else t.throws(check, { name: 'ApiError', code } as Partial<ApiError> as ApiError)
    })
  }
})

t.test('methods', async t => {
  const all = policy('methods: [PUT, POST, multipart]\nmultipart: { threshold: 5 }')
  const big = parsePolicies(yaml('methods: [PUT, multipart]').replace('maxSize: 10', 'maxSize: 5TiB'), 'p.yaml', defaults).policies.get('p') as Policy
  const table: ReadonlyArray<[name: string, policy: Policy, wanted: UploadMethod | 'auto', sizeBytes: number | null, expected: string]> = [
    ['auto, at the threshold', all, 'auto', 5, 'PUT'],
    ['auto, above the threshold', all, 'auto', 6, 'multipart'],
    ['auto, without PUT', policy('methods: [POST, multipart]'), 'auto', 5, 'POST'],
    ['auto, only parts', policy('methods: [multipart]'), 'auto', 5, 'multipart'],
    ['auto, an empty file', all, 'auto', 0, 'PUT'],
    ['auto, no size', all, 'auto', null, 'POST'],
    ['auto, over 5 GiB', big, 'auto', 5 * 1024 ** 3 + 1, 'multipart'],
    ['by name', all, 'multipart', 1, 'multipart'],
    ['PUT over 5 GiB', big, 'PUT', 5 * 1024 ** 3 + 1, 'INVALID_REQUEST'],
    ['parts of an empty file', all, 'multipart', 0, 'INVALID_REQUEST'],
    ['an empty file where there are only parts', policy('methods: [multipart]'), 'auto', 0, 'INVALID_REQUEST'],
    ['PUT without a size', all, 'PUT', null, 'INVALID_REQUEST'],
    ['no size without forms', policy('methods: [PUT]'), 'auto', null, 'INVALID_REQUEST'],
    ['a method that is not listed', policy('methods: [PUT]'), 'multipart', 5, 'POLICY_FORBIDDEN']
  ]
  for (const [name, policy, wanted, sizeBytes, expected] of table) {
    t.test(name, async t => {
      const choose = () => chooseMethod(policy, wanted, sizeBytes)
      if (/_/.test(expected)) t.throws(choose, { code: expected } as Partial<ApiError> as ApiError)
      else t.equal(choose(), expected)
    })
  }
  t.equal(choosePartSize(all, 100), 16 * 1024 ** 2)
  for (const size of [1, 160_000 * 1024 ** 2, 160_000 * 1024 ** 2 + 1, 5 * 1024 ** 4]) {
    const part = choosePartSize(big, size)
    t.ok(part >= 5 * 1024 ** 2 && part <= 5 * 1024 ** 3 && Math.ceil(size / part) <= 10_000, `${size}: ${part}`)
  }
})

t.test('buckets', async t => {
  const text = `buckets:\n  archive: { bucket: my-archive, region: eu-central-1, profile: archive }\n${yaml('bucket: archive')}`
  t.match(parsePolicies(text, 'p.yaml', defaults), { buckets: new Map([['archive', { bucket: 'my-archive', region: 'eu-central-1', profile: 'archive' }]]) })
  t.throws(() => parsePolicies(text.replace('region', 'regoin'), 'p.yaml', defaults), /p.yaml: .*archive.*"regoin" is not known/)

  const twice = text.replace('policies:', '  cold: { bucket: my-archive, endpoint: "https://cold.example.com" }\npolicies:')
  t.throws(() => parsePolicies(twice, 'p.yaml', defaults), { problems: ['p.yaml: bucket cold, bucket: "my-archive" is that of bucket archive, too; a name in S3 may be given once, wherever the bucket is'] } as Partial<PolicyFileError> as PolicyFileError)
  const s3 = { bucket: 'my-archive', provider: 'aws', postPolicies: true, checksums: true }
  t.throws(() => parsePolicies(text, 'p.yaml', { ...defaults, s3 }), { problems: ['p.yaml: bucket archive, bucket: "my-archive" is that of S3_BUCKET, where policies go that name no bucket, too; a name in S3 may be given once, wherever the bucket is'] } as Partial<PolicyFileError> as PolicyFileError)
  t.doesNotThrow(() => parsePolicies(text, 'p.yaml', { ...defaults, s3: { ...s3, bucket: 'files' } }))
})

t.test('sizes', async t => {
  const table: ReadonlyArray<[number | string, number]> = [[7, 7], ['0B', 0], ['10MiB', 10_485_760], ['10MB', 10_000_000], ['1.5 KiB', 1536], ['5GiB', 5_368_709_120], ['1TB', 1e12], ['2kB', 2000]]
  for (const [size, bytes] of table) t.equal(parseSizeBytes(size), bytes, String(size))
})

t.test('key templates', async t => {
  const table: ReadonlyArray<[template: string, problem: RegExp | null]> = [
    ['{fileId}', null],
    ['a-b_c.d/{tenant}/{owner}/{yyyy}/{mm}/{dd}/{fileId}-{slug}{ext}', null],
    ['{owner}/x', /must contain \{fileId\}/],
    ['{fileId}/{name}', /\{name\} is not known/],
    ['{fileId}/{toString}', /\{toString\} is not known/],
    ['/{fileId}', /slash/],
    ['{fileId}/', /slash/],
    ['a//{fileId}', /empty or dot segments/],
    ['a/../{fileId}', /dot segments/],
    ['./{fileId}', /dot segments/],
    ['a b/{fileId}', /may hold/],
    ['$' + '{filename}/{fileId}', /not known|may hold/],
    ['a%2f/{fileId}', /may hold/],
    ['a?/{fileId}', /may hold/],
    ['{fileId}/{ext}', /must not begin a segment/],
    ['staging/{fileId}', /keys below staging/],
    ['staging{ext}/{fileId}', /keys below staging/],
    ['stag{ext}ing/{fileId}', /keys below staging/],
    ['stagings/{fileId}', null],
    ['a/staging/{fileId}', null],
    [`${'a/'.repeat(250)}{fileId}`, /at most 512/]
  ]
  for (const [template, problem] of table) {
    t.test(template.slice(0, 40), async t => {
      const found = findKeyTemplateProblem(template)
      if (problem === null) t.equal(found, null)
      else t.match(found, problem)
    })
  }
})

t.test('T18: keys are plain whatever names, owners and tenants are called', async t => {
  const template = 'a/{tenant}/{owner}/{yyyy}-{mm}-{dd}/{fileId}-{slug}{ext}'
  const hostile = ['../..', '..%2f..', '\0', '\r\n', '\u202e', '😀'.repeat(300), '$' + '{filename}', '', '.', '..', '/', '\\', 'a/b', 'auth0|x', 'über', '%00', '?a#b', '-', 'x'.repeat(5000), 'con', 'a.tar.gz', '.htaccess', '\ud800']
  for (const value of hostile) {
    for (const filename of [value, `${value}.PNG`, `${value}.p/g`]) {
      const key = renderObjectKey(template, { tenant: value, owner: value, fileId: randomUUID(), filename, createdAt: new Date('2026-01-02T03:04:05Z') })
      const isPlain = /^a\/[\w-]{1,64}\/[\w-]{1,64}\/2026-01-02\/[\da-f-]{36}-[\w-]{1,64}(\.[a-z0-9]{1,10})?$/.test(key)
      if (!isPlain || Buffer.byteLength(key) > 512 || new URL(`http://h/b/${key}`).pathname !== `/b/${key}`) t.fail(`${JSON.stringify(filename)} became ${key}`)
    }
  }
  t.pass(`${hostile.length * 3} names`)
})

t.test('no name of anybody or anything makes a key begin with the staging prefix', async t => {
  const fileId = randomUUID()
  const staging = { tenant: 'staging', owner: 'staging', fileId, filename: 'staging', createdAt: new Date() }
  const table: ReadonlyArray<[template: string, values: object, key: string]> = [
    ['{tenant}/{fileId}', {}, `_staging/${fileId}`],
    ['{owner}/{fileId}', {}, `_staging/${fileId}`],
    ['{slug}/{fileId}', {}, `_staging/${fileId}`],
    ['{slug}{ext}/{fileId}', {}, `_staging/${fileId}`],
    ['{tenant}/{owner}/{fileId}', {}, `_staging/staging/${fileId}`],
    ['{owner}/{fileId}', { owner: '/staging/' }, `_staging/${fileId}`],
    ['sta{owner}/{fileId}', { owner: 'ging' }, `sta_ging/${fileId}`],
    ['{owner}ing/{fileId}', { owner: 'stag' }, `_staging/${fileId}`],
    ['s{ext}t{tenant}{owner}/{fileId}', { tenant: 'ag', owner: 'ing' }, `st_aging/${fileId}`],
    ['{owner}/{fileId}', { owner: '_staging' }, `_staging/${fileId}`],
    ['{owner}/{fileId}', { owner: 'Staging' }, `Staging/${fileId}`],
    ['{owner}-{fileId}', {}, `staging-${fileId}`],
    ['a/{owner}/{fileId}', {}, `a/staging/${fileId}`]
  ]
  for (const [template, values, expected] of table) {
    t.equal(findKeyTemplateProblem(template), null)
    const key = renderObjectKey(template, { ...staging, ...values })
    t.equal(key, expected, template)
    t.match(key, keyPattern(template))
    t.ok(key.startsWith(findKeyPrefix(template)), 'where permissions and listings are')
  }
})

t.test('the file id is found in every key, whatever looks like one or runs into it', async t => {
  const id = 'abcdef01-2345-7678-9abc-def012345678'
  const others = ['x', 'ada', '0', 'abcdef01', 'abcdef01-2345', 'abcdef01-2345-7678', 'abcdef01-2345-7678-9abc', 'abcdef01-2345-7678-9abc-0123', randomUUID(), `${randomUUID()}-`, `${randomUUID()}-${randomUUID().slice(0, 20)}`]
  for (const template of ['{fileId}', '{fileId}{ext}', '{owner}{fileId}', '{owner}-{fileId}', '{owner}-{fileId}-{slug}', '{fileId}{slug}', 'a/{tenant}{owner}{fileId}{slug}{ext}', 'abcdef01-{fileId}']) {
    for (const owner of others) {
      for (const name of others) {
        const key = renderObjectKey(template, { tenant: owner, owner, fileId: id, filename: `${name}.png`, createdAt: new Date() })
        if (!findIds(key).includes(id)) t.fail(key)
      }
    }
  }
  t.same(findIds('a/b.png'), [])
  t.same(findIds(`a/${id}/${id.toUpperCase()}`), [id])
})

t.test('slugs and extensions', async t => {
  for (const [value, slug] of [['Ada Lovelace', 'Ada-Lovelace'], ['über', 'u-ber'], ['', 'x'], ['...', 'x'], ['--a--', 'a'], ['a_b-c', 'a_b-c']] as const) t.equal(renderSlug(value), slug, value)
  for (const [name, extension] of [['a.PNG', '.png'], ['a.tar.gz', '.gz'], ['a', ''], ['.png', ''], ['a.', ''], ['a.p g', ''], ['a.averylongextension', ''], ['a/.png', '']] as const) t.equal(renderExtension(name), extension, name)
})

t.test('policy files', async t => {
  t.test('the example works', async t => {
    const { policies } = loadPolicies('policies.example.yaml', defaults)
    t.strictSame([...policies.keys()], ['pictures', 'avatars', 'documents', 'videos'])
    t.match(policies.get('pictures'), { maxSizeBytes: 10_485_760, visibility: 'private', methods: ['PUT', 'POST', 'multipart'], quota: { files: 1000, bytes: 5_368_709_120, pending: 100 }, uploadUrlTtlSeconds: 900, verifyContentType: true })
    t.match(policies.get('documents'), { uploadUrlTtlSeconds: 600, requiredScopes: ['documents:write'] })
  })

  t.test('defaults are the strict ones', async t => {
    t.match(policy(), { visibility: 'private', disposition: 'attachment', verifyContentType: true, checksumRequired: false, minSizeBytes: 0, downloadUrlTtlSeconds: 600, methods: ['PUT', 'multipart'], quota: {}, presignedDelete: false, bucket: null })
  })

  const bad: ReadonlyArray<[name: string, text: string, problem: RegExp]> = [
    ['an unknown field', yaml('maxSizee: 1'), /^p.yaml: policy p: "maxSizee" is not known/],
    ['a quota of none', yaml('quota: { files: 0 }'), /^p.yaml: policy p, quota.files: must be >= 1/],
    ['an unknown method', yaml('methods: [PATCH]'), /^p.yaml: policy p, methods.0: /],
    ['a part size that S3 does not take', yaml('multipart: { partSize: 4MiB }'), /^p.yaml: policy p, multipart.partSize: S3 takes parts of 5MiB/],
    ['two buckets of one name', `buckets:\n  a: { bucket: same }\n  b: { bucket: same }\n${yaml('')}`, /^p.yaml: bucket b, bucket: "same" is that of bucket a, too/],
    ['a bucket that is not listed', yaml('bucket: archive'), /^p.yaml: policy p, bucket: there is no bucket "archive"/],
    ['a SHA-256 of parts', yaml('methods: [multipart]\nverify: { checksum: required }'), /^p.yaml: policy p, verify.checksum: S3 has no SHA-256/],
    ['a key among what is not checked yet', yaml('').replace('"{fileId}"', '"staging/{fileId}"'), /^p.yaml: policy p, key: keys below staging/],
    ['an unknown field inside', yaml('verify: { type: true }'), /^p.yaml: policy p, verify: "type" is not known/],
    ['a size that is none', yaml('minSize: ten'), /^p.yaml: policy p, minSize: /],
    ['a least above the most', yaml('minSize: 11'), /^p.yaml: policy p, minSize: it is above maxSize/],
    ['more than one PUT can carry', yaml('methods: [PUT, POST]').replace('maxSize: 10', 'maxSize: 5.1GiB'), /^p.yaml: policy p, maxSize: S3 takes at most 5GiB by PUT, POST/],
    ['more than parts can carry', yaml('').replace('maxSize: 10', 'maxSize: 5.1TiB'), /^p.yaml: policy p, maxSize: S3 takes at most 5120GiB/],
    ['a key without a file id', yaml('').replace('"{fileId}"', '"{owner}"'), /^p.yaml: policy p, key: it must contain \{fileId\}/],
    ['a URL life of over an hour', yaml('uploadUrlTtlSeconds: 3601'), /^p.yaml: policy p, uploadUrlTtlSeconds: must be <= 3600/],
    ['a content type in capitals', yaml('').replace('image/png', 'IMAGE/PNG'), /^p.yaml: policy p, contentTypes.0: must match pattern/],
    ['every type at once', yaml('').replace('image/png', '"*/*"'), /^p.yaml: policy p, contentTypes.0: must match pattern/],
    ['another visibility', yaml('visibility: friends'), /^p.yaml: policy p, visibility: must be equal to one of the allowed values/],
    ['a name with a space', yaml('').replace('  p:', '  "p q":'), /^p.yaml: policies|"p q" is not known or not well named/],
    ['no policies', 'policies: {}', /^p.yaml/],
    ['another file', 'a: 1', /^p.yaml/],
    ['no YAML', 'a: [', /^p.yaml: /],
    ['nothing', '', /^p.yaml/]
  ]
  for (const [name, text, problem] of bad) {
    t.test(`refuses ${name}, naming file, policy and field`, async t => {
      try {
        parsePolicies(text, 'p.yaml', defaults)
        t.fail('it was accepted')
      } catch (error) {
        t.ok(error instanceof PolicyFileError, String(error))
        t.ok((error as PolicyFileError).problems.some(line => problem.test(line)), (error as PolicyFileError).message)
      }
    })
  }

  const store = { bucket: 'files', provider: 'r2', postPolicies: true, checksums: true }
  const lacking: ReadonlyArray<[name: string, text: string, s3: typeof store, problem: RegExp | null]> = [
    ['forms at a store that takes none', yaml('methods: [PUT, POST]'), { ...store, postPolicies: false }, /^p.yaml: policy p, methods: the store takes no forms \(S3_PROVIDER=r2\): leave POST out, or set S3_POST_POLICIES=true/],
    ['no forms at a store that takes none', yaml('methods: [PUT, multipart]'), { ...store, postPolicies: false }, null],
    ['a checksum of forms at a store that compares none', yaml('methods: [POST]\nverify: { checksum: required }'), { ...store, checksums: false }, /^p.yaml: policy p, verify.checksum: the store compares no checksum of a form \(S3_PROVIDER=r2\)/],
    ['a checksum of a PUT at a store that compares none, which the payload binds', yaml('methods: [PUT]\nverify: { checksum: required }'), { ...store, checksums: false }, null],
    ['a checksum of forms at a store that compares it', yaml('methods: [POST]\nverify: { checksum: required }'), store, null]
  ]
  for (const [name, text, s3, problem] of lacking) {
    t.test(`${problem ? 'refuses' : 'takes'} ${name}`, async t => {
      const load = () => parsePolicies(text, 'p.yaml', { ...defaults, s3 })
      if (problem) t.throws(load, problem)
      else t.ok(load().policies.has('p'))
    })
  }

  t.test('a missing file says how to begin', async t => {
    t.throws(() => loadPolicies('/no/such/file.yaml', defaults), /POLICIES_FILE: ENOENT.*policies.example.yaml/)
  })
})
