import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { HTML, png } from '../helpers/samples.js'
import { send } from '../helpers/send.js'
import { sendForm } from '../helpers/form.js'
import { ENGINES, POLICIES, startService, type Engine, type TestService } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'

interface Started { readonly id: string, readonly sizeBytes: number, isReady: boolean }
interface Owner { readonly as: string, readonly uploads: Started[] }
interface UsageEntry { readonly policy: string, readonly files: number, readonly bytes: number, readonly pending: number, readonly limits: object }

const s3 = await startTestS3(t)
const policies = `${POLICIES}
  slots: { contentTypes: [image/png], maxSize: 1000, key: "slots/{fileId}", quota: { files: 10 } }
  bytes: { contentTypes: [image/png], maxSize: 1000, key: "bytes/{fileId}", quota: { bytes: 1000 } }
  mixed: { contentTypes: [image/png], maxSize: 1000, key: "mixed/{fileId}", methods: [PUT, POST], quota: { files: 15, bytes: 9000, pending: 9 }, presignedDelete: true }
`
const body = (policy: string, sizeBytes: number) => ({ policy, filename: 'a.png', contentType: 'image/png', sizeBytes })
/** A picture of just this length: what follows the end of a PNG is not looked at. */
const picture = (sizeBytes: number) => Buffer.concat([png(), Buffer.alloc(sizeBytes)]).subarray(0, sizeBytes)

for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  const service = await startService(t, s3, { engine, policies })
  const { call, token } = service

  async function usageOf (as: string, policy: string): Promise<Omit<UsageEntry, 'policy' | 'limits'> | undefined> {
    const { data } = (await call('GET', '/usage', { token: as })).json() as { data: UsageEntry[] }
    const entry = data.find(entry => entry.policy === policy)
    return entry && { files: entry.files, bytes: entry.bytes, pending: entry.pending }
  }
  async function create (t: Test, as: string, policy: string, sizeBytes: number, more: object = {}) {
    const reply = await call('POST', '/uploads', { token: as, body: { ...body(policy, sizeBytes), ...more } })
    t.equal(reply.statusCode, 201, reply.body)
    return reply.json()
  }
  async function upload (t: Test, as: string, policy: string, sizeBytes: number, more: object = {}) {
    const { file, upload } = await create(t, as, policy, sizeBytes, more)
    t.equal((await send(upload, picture(sizeBytes))).status, 200)
    const completed = await call('POST', `/uploads/${file.id}/complete`, { token: as, body: {} })
    t.equal(completed.statusCode, 200, completed.body)
    return completed.json().file
  }

  const races: ReadonlyArray<[name: string, policy: string, sizeBytes: number, held: object]> = [
    ['files', 'slots', 1, { files: 10, bytes: 10, pending: 10 }],
    ['bytes', 'bytes', 100, { files: 10, bytes: 1000, pending: 10 }],
    ['pending uploads', 'few', 1, { files: 5, bytes: 5, pending: 5 }]
  ]
  for (const [name, policy, sizeBytes, held] of races) {
    t.test(`T31: 50 creates at once get exactly what the quota of ${name} has room for`, async t => {
      const eve = await token(`eve-${policy}`)
      await race(t, [service], eve, body(policy, sizeBytes), (held as { files: number }).files)
      t.strictSame(await usageOf(eve, policy), held)
    })
  }

  if (engine === 'postgres') {
    for (const [name, policy, sizeBytes, held] of races) {
      t.test(`T31: two processes on one database share the quota of ${name}`, async t => {
        const other = await startService(t, s3, { engine, policies, env: { DATABASE_URL: service.config.database.url } })
        const eve = await token(`twin-${policy}`)
        await race(t, [service, other], eve, body(policy, sizeBytes), (held as { files: number }).files)
        t.strictSame(await usageOf(eve, policy), held)
        await assertSums(t, service)
      })
    }
  }

  t.test('T31: a file of exactly what is left fits, and one byte more does not', async t => {
    const ivy = await token('ivy')
    await create(t, ivy, 'bytes', 900)
    t.match((await call('POST', '/uploads', { token: ivy, body: body('bytes', 101) })).json(), { status: 403, code: 'QUOTA_EXCEEDED', detail: /bytes/ })
    await create(t, ivy, 'bytes', 100)
    await create(t, ivy, 'bytes', 0)
    t.strictSame(await usageOf(ivy, 'bytes'), { files: 3, bytes: 1000, pending: 3 })
  })

  t.test('T32: one pending upload too many is refused; an abort frees its place, a complete only the pending one', async t => {
    const ada = await token('ada')
    const refused = async () => await call('POST', '/uploads', { token: ada, body: body('few', 100) })
    const started = []
    for (let index = 0; index < 5; index++) started.push(await create(t, ada, 'few', 100))
    t.match((await refused()).json(), { status: 403, code: 'QUOTA_EXCEEDED', detail: /not complete/ })
    t.equal((await call('DELETE', `/uploads/${started[0].file.id}`, { token: ada })).statusCode, 204)
    await create(t, ada, 'few', 100)
    t.equal((await refused()).statusCode, 403)

    await send(started[1].upload, picture(100))
    t.equal((await call('POST', `/uploads/${started[1].file.id}/complete`, { token: ada, body: {} })).statusCode, 200)
    t.strictSame(await usageOf(ada, 'few'), { files: 5, bytes: 500, pending: 4 })
    await create(t, ada, 'few', 100)
    t.equal((await refused()).statusCode, 403)
    t.strictSame(await usageOf(ada, 'few'), { files: 6, bytes: 600, pending: 5 })
  })

  t.test('T32: a refused upload leaves no row', async t => {
    const una = await token('una')
    for (let index = 0; index < 12; index++) await call('POST', '/uploads', { token: una, body: body('slots', 1) })
    t.equal((await call('GET', '/files?status=pending', { token: una })).json().data.length, 10)
  })

  const ends: ReadonlyArray<[name: string, end: (t: Test, as: string) => Promise<void>]> = [
    ['an aborted upload', async (t, as) => {
      const { file } = await create(t, as, 'few', 300)
      for (let times = 0; times < 2; times++) t.equal((await call('DELETE', `/uploads/${file.id}`, { token: as })).statusCode, 204)
    }],
    ['a pending upload that is deleted as a file', async (t, as) => {
      const { file } = await create(t, as, 'few', 300)
      for (let times = 0; times < 2; times++) t.equal((await call('DELETE', `/files/${file.id}`, { token: as })).statusCode, 204)
    }],
    ['a rejected upload', async (t, as) => {
      const { file, upload } = await create(t, as, 'few', HTML.length)
      await send(upload, HTML)
      for (let times = 0; times < 2; times++) t.equal((await call('POST', `/uploads/${file.id}/complete`, { token: as, body: {} })).statusCode, 422)
      t.equal((await call('DELETE', `/uploads/${file.id}`, { token: as })).statusCode, 204)
    }],
    ['a deleted file', async (t, as) => {
      const { id } = await upload(t, as, 'few', 300)
      for (let times = 0; times < 2; times++) t.equal((await call('DELETE', `/files/${id}`, { token: as })).statusCode, 204)
    }],
    ['a file whose deletion was signed', async (t, as) => {
      const { id } = await upload(t, as, 'few', 300)
      t.equal((await call('POST', '/deletions', { token: as, body: { fileId: id } })).statusCode, 201)
      t.equal((await call('POST', '/deletions', { token: as, body: { fileId: id } })).statusCode, 404)
      t.equal((await call('DELETE', `/files/${id}`, { token: as })).statusCode, 204)
    }],
    ['20 aborts at once', async (t, as) => {
      const { file } = await create(t, as, 'few', 300)
      const replies = await Promise.all(Array.from({ length: 20 }, async () => await call('DELETE', `/uploads/${file.id}`, { token: as })))
      t.ok(replies.every(reply => reply.statusCode === 204))
    }],
    ['20 deletions at once', async (t, as) => {
      const { id } = await upload(t, as, 'few', 300)
      const replies = await Promise.all(Array.from({ length: 20 }, async () => await call('DELETE', `/files/${id}`, { token: as })))
      t.ok(replies.every(reply => reply.statusCode === 204))
    }]
  ]
  for (const [index, [name, end]] of ends.entries()) {
    t.test(`T32: ${name} gives back exactly what it held`, async t => {
      const mia = await token(`mia-${index}`)
      const { id } = await upload(t, mia, 'few', 200)
      await end(t, mia)
      t.strictSame(await usageOf(mia, 'few'), { files: 1, bytes: 200, pending: 0 })
      t.equal((await call('DELETE', `/files/${id}`, { token: mia })).statusCode, 204)
      t.strictSame(await usageOf(mia, 'few'), { files: 0, bytes: 0, pending: 0 })
    })
  }

  t.test('T32: of a replaced file the new content counts alone', async t => {
    const noa = await token('noa')
    const { id } = await upload(t, noa, 'few', 300)
    const { file, upload: instructions } = await create(t, noa, 'few', 500, { replaces: id })
    t.strictSame(await usageOf(noa, 'few'), { files: 2, bytes: 800, pending: 1 }, 'both, while the old content is there')
    await send(instructions, picture(500))
    for (let times = 0; times < 2; times++) t.equal((await call('POST', `/uploads/${file.id}/complete`, { token: noa, body: {} })).json().file.id, id)
    t.strictSame(await usageOf(noa, 'few'), { files: 1, bytes: 500, pending: 0 })
    await upload(t, noa, 'few', 100, { replaces: id })
    t.strictSame(await usageOf(noa, 'few'), { files: 1, bytes: 100, pending: 0 })
    await call('DELETE', `/files/${id}`, { token: noa })
    t.strictSame(await usageOf(noa, 'few'), { files: 0, bytes: 0, pending: 0 })
  })

  t.test('T32: when the file to replace is gone by then, the upload counts as a file of its own', async t => {
    const ole = await token('ole')
    const { id } = await upload(t, ole, 'few', 300)
    const { file, upload: instructions } = await create(t, ole, 'few', 500, { replaces: id })
    await send(instructions, picture(500))
    await call('DELETE', `/files/${id}`, { token: ole })
    t.equal((await call('POST', `/uploads/${file.id}/complete`, { token: ole, body: {} })).json().file.id, file.id)
    t.strictSame(await usageOf(ole, 'few'), { files: 1, bytes: 500, pending: 0 })
  })

  t.test('T31: a form without a size reserves what the policy allows, and counts its true size in the end', async t => {
    const pia = await token('pia')
    const { file, upload } = (await call('POST', '/uploads', { token: pia, body: { policy: 'few', filename: 'a.png', contentType: 'image/png', method: 'POST' } })).json()
    t.strictSame(await usageOf(pia, 'few'), { files: 1, bytes: 1000, pending: 1 })
    t.equal((await sendForm(upload, picture(123))).status, 201)
    const completed = await call('POST', `/uploads/${file.id}/complete`, { token: pia, body: {} })
    t.match(completed.json(), { file: { status: 'ready', sizeBytes: 123 } })
    t.strictSame(await usageOf(pia, 'few'), { files: 1, bytes: 123, pending: 0 })
    await call('DELETE', `/files/${file.id}`, { token: pia })
    t.strictSame(await usageOf(pia, 'few'), { files: 0, bytes: 0, pending: 0 })
  })

  t.test('GET /usage tells one\'s own numbers and limits, of the policies that admit one', async t => {
    const rea = await token('rea')
    const sue = await token('sue')
    await upload(t, rea, 'few', 300)
    await create(t, rea, 'few', 200)
    await create(t, rea, 'pictures', 1000)
    const data = (await call('GET', '/usage', { token: rea })).json().data as UsageEntry[]
    t.strictSame(data.map(entry => entry.policy), ['pictures', 'notes', 'posters', 'forms', 'parts', 'few', 'slots', 'bytes', 'mixed'])
    t.strictSame(data.find(entry => entry.policy === 'few'), { policy: 'few', files: 2, bytes: 500, pending: 1, limits: { files: 10, bytes: 5000, pending: 5 } })
    t.strictSame(data.find(entry => entry.policy === 'pictures'), { policy: 'pictures', files: 1, bytes: 1000, pending: 1, limits: {} })
    t.strictSame(data.find(entry => entry.policy === 'slots'), { policy: 'slots', files: 0, bytes: 0, pending: 0, limits: { files: 10 } })
    t.strictSame(await usageOf(sue, 'few'), { files: 0, bytes: 0, pending: 0 }, 'another owner has nothing')
    t.strictSame(await usageOf(await token('root', { scope: 'files:admin' }), 'few'), { files: 0, bytes: 0, pending: 0 }, 'an administrator sees their own')
    t.ok(await usageOf(await token('sue', { scope: 'reports:write', department: 'finance' }), 'reports'), 'a policy that admits by scope and claim')
  })

  t.test('tenants have quotas of their own', async t => {
    const tenants = await startService(t, s3, { engine, policies, env: { JWT_TENANT_CLAIM: 'tenant' } })
    const red = await token('ada', { tenant: 'red' })
    const blue = await token('ada', { tenant: 'blue' })
    await race(t, [tenants], red, body('few', 1), 5, 8)
    await race(t, [tenants], blue, body('few', 2), 5, 8)
    for (const [as, bytes] of [[red, 5], [blue, 10]] as const) {
      const { data } = (await tenants.call('GET', '/usage', { token: as })).json() as { data: UsageEntry[] }
      t.match(data.find(entry => entry.policy === 'few'), { files: 5, bytes, pending: 5 })
    }
  })

  t.test('I5: after any sequence of operations, the counters are the sums over the rows', async t => {
    const random = randomNumbers(20251)
    const owners = await Promise.all(['ann', 'ben', 'cat'].map(async name => ({ as: await token(name), uploads: [] as Started[] })))
    const pick = <T>(items: readonly T[]): T | undefined => items[Math.floor(random() * items.length)]

    async function start ({ as, uploads }: Owner): Promise<number> {
      const sizeBytes = 100 + Math.floor(random() * 900)
      const replaced = random() < 0.5 ? pick(uploads.filter(upload => upload.isReady)) : undefined
      const isForm = random() < 0.2
      const { sizeBytes: _, ...unsized } = body('mixed', 0)
      const reply = await call('POST', '/uploads', {
        token: as,
        headers: random() < 0.2 ? { 'idempotency-key': `k${Math.floor(random() * 9)}` } : {},
        body: { ...unsized, ...(isForm ? { method: 'POST' } : { sizeBytes }), ...(replaced && { replaces: replaced.id }) }
      })
      if (reply.statusCode === 201) uploads.push({ id: reply.json().file.id, sizeBytes, isReady: false })
      return reply.statusCode
    }
    async function sendAndComplete ({ as, uploads }: Owner): Promise<number> {
      const chosen = pick(uploads.filter(upload => !upload.isReady))
      if (!chosen) return 0
      const bytes = random() < 0.25 ? Buffer.concat([HTML, Buffer.alloc(1000)]).subarray(0, chosen.sizeBytes) : picture(chosen.sizeBytes)
      const { upload } = (await call('GET', `/uploads/${chosen.id}`, { token: as })).json()
      if (upload) await (upload.method === 'POST' ? sendForm(upload, bytes) : send(upload, bytes))
      const completed = await call('POST', `/uploads/${chosen.id}/complete`, { token: as, body: {} })
      if (completed.statusCode === 200) chosen.isReady = true
      return completed.statusCode
    }
    async function end ({ as, uploads }: Owner): Promise<number> {
      const fileId = pick(uploads)?.id ?? 'none'
      const draw = random()
      if (draw < 0.5) return (await call('DELETE', `/uploads/${fileId}`, { token: as })).statusCode
      if (draw < 0.8) return (await call('DELETE', `/files/${fileId}`, { token: as })).statusCode
      return (await call('POST', '/deletions', { token: as, body: { fileId } })).statusCode
    }
    const operations = [start, start, start, sendAndComplete, sendAndComplete, sendAndComplete, end]
    const statuses: number[] = []
    for (let round = 0; round < 25; round++) {
      // Eight at once, so that they meet.
      await Promise.all(Array.from({ length: 8 }, async () => {
        const owner = pick(owners)
        const operation = pick(operations)
        if (owner && operation) statuses.push(await operation(owner))
      }))
      await assertSums(t, service)
    }
    t.strictSame(statuses.filter(status => status >= 500), [], 'nothing failed here')
    // Not asserted, since what meets what is up to the machine.
    const rows = await service.services.database.selectFrom('files').select(['status', 'replaced_into']).where('policy', '=', 'mixed').execute()
    t.comment(JSON.stringify({ replies: tally(statuses), rows: tally(rows.map(row => row.replaced_into === null ? row.status : 'replaced')) }))
  })
}

/** So many creates at once, over these services in turn: exactly `room` succeed, and the others hear of the quota. */
async function race (t: Test, services: readonly TestService[], as: string, payload: object, room: number, count = 50): Promise<void> {
  const replies = await Promise.all(Array.from({ length: count }, async (_, index) => {
    return await services[index % services.length]?.call('POST', '/uploads', { token: as, body: payload })
  }))
  const codes = replies.map(reply => reply?.statusCode === 201 ? 201 : reply?.json().code)
  t.equal(codes.filter(code => code === 201).length, room)
  t.equal(codes.filter(code => code === 'QUOTA_EXCEEDED').length, count - room)
}

/** I5: what is counted is what is there. */
async function assertSums (t: Test, { services: { database } }: TestService): Promise<void> {
  const { rows: summed } = await sql<Record<string, unknown>>`select tenant, owner, policy, count(*) as files, sum(reserved_bytes) as bytes,
    sum(case when status = 'ready' then 0 else 1 end) as pending, sum(case when status = 'ready' and size_bytes <> reserved_bytes then 1 else 0 end) as untrue
    from files where status in ('pending', 'verifying', 'ready') group by tenant, owner, policy`.execute(database)
  const counted = await database.selectFrom('usage').selectAll().where('files', '<>', 0).execute()
  const lines = (rows: ReadonlyArray<Record<string, unknown>>) => rows.map(row => ['tenant', 'owner', 'policy', 'files', 'bytes', 'pending'].map(name => String(row[name])).join()).sort()
  t.strictSame(lines(counted.map(row => ({ ...row }))), lines(summed))
  t.ok(summed.every(row => Number(row['untrue']) === 0), 'a ready file counts its true size')
  t.strictSame(await database.selectFrom('usage').selectAll().where('files', '=', 0).where(where => where.or([where('bytes', '<>', 0), where('pending', '<>', 0)])).execute(), [], 'who holds nothing counts nothing')
}

function tally (items: ReadonlyArray<string | number>): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const item of items) counts[item] = (counts[item] ?? 0) + 1
  return counts
}

/** Numbers from 0 to 1, the same ones for the same seed (mulberry32). */
function randomNumbers (seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
