// What takes too long for `npm test`: a million rows, and how fast rows are swept. CI runs it once and prints the numbers.
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { sql } from 'kysely'
import t, { type Test } from 'tap'
import { builtCli, run, runCli } from '../helpers/process.js'
import { startService } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'

t.setTimeout(900_000)
const s3 = await startTestS3(t)
const MILLION = 1_000_000

/** The id and key of the row with this number: in the order of the numbers, as in a listing. */
const idOf = (number: number): string => `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`

t.test('F24 F25: presignd reconcile compares a million rows and keys in less than 200 MiB', async t => {
  const lost = 123_456
  const stray = MILLION + 5
  const { services, config, bucket } = await startService(t, s3)
  const { database } = services
  await sql`insert into files (id, tenant, owner, policy, status, version, filename, content_type, size_bytes, reserved_bytes, visibility, bucket, object_key, etag, metadata, url_deadline, attempts, created_at, updated_at, ready_at, method)
    with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < ${MILLION})
    select printf('00000000-0000-4000-8000-%012d', n), '', 'ada', 'pictures', 'ready', 3, 'a.png', 'image/png', 10, 10, 'private', ${bucket}, printf('pictures/ada/00000000-0000-4000-8000-%012d.png', n), '"e"', '{}', 0, 1, n, n, n, 'PUT' from numbers`.execute(database)
  await database.insertInto('usage').values({ tenant: '', owner: 'ada', policy: 'pictures', files: MILLION, bytes: 10 * MILLION, pending: 0 }).execute()

  const store = await startListing(t, Array.from({ length: MILLION + 1 }, (_, index) => index + 1).filter(number => number !== lost).map(number => number > MILLION ? stray : number))
  // As it is installed, since a TypeScript loader has memory of its own; and with a heap limit, since Node collects late where there is plenty.
  const program = builtCli()
  const began = performance.now()
  const running = run(t, process.execPath, ['--disable-warning=ExperimentalWarning', '--max-old-space-size=80', '--max-semi-space-size=8', program, 'reconcile'], {
    DATABASE_URL: config.database.url,
    POLICIES_FILE: config.policiesFile,
    S3_BUCKET: bucket,
    S3_ENDPOINT: store,
    S3_FORCE_PATH_STYLE: 'true',
    AWS_ACCESS_KEY_ID: 'a',
    AWS_SECRET_ACCESS_KEY: 'b',
    JWT_SECRET: 'secret' in config.jwt.keys ? config.jwt.keys.secret : '',
    JWT_AUDIENCE: 'any'
  })
  let mostKib = 0
  const watch = setInterval(() => { mostKib = Math.max(mostKib, readPeakKib(running.child.pid)) }, 50)
  t.equal(await running.ended, 2, running.stderr())
  clearInterval(watch)
  const lines = running.stdout().trim().split('\n').map(line => JSON.parse(line))
  t.match(lines, [{ kind: 'row-without-object', fileId: idOf(lost) }, { kind: 'object-without-row', key: `pictures/ada/${idOf(stray)}.png` }, { left: 2 }])
  t.comment(`reconciled 1,000,000 rows and keys in ${((performance.now() - began) / 1000).toFixed(1)} s, with at most ${Math.round(mostKib / 1024)} MiB`)
  t.ok(mostKib > 0 && mostKib < 200 * 1024)
})

/** A bucket of a million objects does not fit into a test; its listing does. Any other question is answered with 404. */
async function startListing (t: Test, numbers: readonly number[]): Promise<string> {
  const PAGE = 1000
  const server = createServer((incoming, outgoing) => {
    const { searchParams } = new URL(incoming.url ?? '', 'http://store')
    if (incoming.method === 'HEAD') { outgoing.writeHead(404).end(); return }
    outgoing.setHeader('content-type', 'application/xml')
    if (searchParams.has('uploads')) { outgoing.end('<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>'); return }
    const begin = Number(searchParams.get('continuation-token') ?? 0)
    const page = searchParams.get('prefix') === 'pictures/' ? numbers.slice(begin, begin + PAGE) : []
    const next = page.length === PAGE ? `<NextContinuationToken>${begin + PAGE}</NextContinuationToken>` : ''
    const contents = page.map(number => `<Contents><Key>pictures/ada/${idOf(number)}.png</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag><Size>10</Size></Contents>`).join('')
    outgoing.end(`<ListBucketResult><IsTruncated>${next !== ''}</IsTruncated>${next}${contents}</ListBucketResult>`)
  })
  await new Promise<void>(resolve => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** The most that a process has held so far, as Linux counts it. */
function readPeakKib (pid: number | undefined): number {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)
  } catch {
    return 0
  }
}

t.test('F22: the rows that one process and that two sweep in a second, on PostgreSQL', async t => {
  const ROWS = 1000
  const { services, call, token, bucket, config } = await startService(t, s3, { engine: 'postgres' })
  const { database } = services
  const { file } = (await call('POST', '/uploads', { token: await token('ada'), body: { policy: 'pictures', filename: 'a.png', contentType: 'image/png', sizeBytes: 10 } })).json()
  const { id: _, ...row } = await database.selectFrom('files').selectAll().where('id', '=', file.id).executeTakeFirstOrThrow()
  await database.deleteFrom('files').execute()
  const env = {
    DATABASE_URL: config.database.url,
    POLICIES_FILE: config.policiesFile,
    S3_BUCKET: bucket,
    S3_ENDPOINT: s3.endpoint,
    S3_FORCE_PATH_STYLE: 'true',
    AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey,
    JWT_SECRET: 'secret' in config.jwt.keys ? config.jwt.keys.secret : '',
    JWT_AUDIENCE: 'any'
  }
  for (const processes of [1, 2]) {
    await database.deleteFrom('files').execute()
    for (let begin = 0; begin < ROWS; begin += 500) {
      await database.insertInto('files').values(Array.from({ length: 500 }, (_, index) => ({ ...row, id: idOf(begin + index), object_key: `pictures/ada/${idOf(begin + index)}.png`, url_deadline: 0, next_check_at: 0 }))).execute()
    }
    await database.updateTable('usage').set({ files: ROWS, pending: ROWS, bytes: ROWS * 10 }).execute()
    const began = performance.now()
    const sweepers = Array.from({ length: processes }, () => runCli(t, ['sweep'], env))
    t.ok((await Promise.all(sweepers.map(async ({ ended }) => await ended))).every(code => code === 0))
    const seconds = (performance.now() - began) / 1000
    t.equal(sweepers.reduce((sum, { stdout }) => sum + JSON.parse(stdout()).expired, 0), ROWS)
    t.comment(`${processes === 1 ? 'one process' : 'two processes'} gave up ${ROWS} uploads and deleted what they left in ${seconds.toFixed(1)} s, starts included: ${Math.round(ROWS / seconds)} rows a second`)
  }
})
