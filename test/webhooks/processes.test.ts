import t, { type Test } from 'tap'
import { runCli, runNode } from '../helpers/process.js'
import { startReceiver } from '../helpers/receiver.js'
import { ENGINES, type Engine } from '../helpers/service.js'
import { startTestS3 } from '../helpers/s3.js'
import { hook, HOOK_SECRET, outboxRows, startWebhookService } from '../helpers/webhooks.js'

const s3 = await startTestS3(t)

/** What another process needs to work on the same rows. */
function environmentOf (service: Awaited<ReturnType<typeof startWebhookService>>): Record<string, string> {
  const { config } = service
  return {
    DATABASE_URL: config.database.url,
    POLICIES_FILE: config.policiesFile,
    S3_BUCKET: config.s3.bucket,
    S3_ENDPOINT: s3.endpoint,
    AWS_ACCESS_KEY_ID: s3.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: s3.credentials.secretAccessKey,
    JWT_SECRET: 'x'.repeat(32),
    JWT_AUDIENCE: 'any',
    HOOK_SECRET
  }
}

for (const engine of ENGINES) t.test(engine, async t => await suite(t, engine))

async function suite (t: Test, engine: Engine): Promise<void> {
  t.test('F33: a process that is killed after the POST and before the record makes one repeat, with the same id', async t => {
    const receiver = await startReceiver(t)
    const service = await startWebhookService(t, s3, { engine, webhooks: `app: ${hook(receiver.url)}` })
    await service.upload()
    const dying = runNode(t, ['test/webhooks/fixtures/deliver-and-die.ts'], environmentOf(service))
    t.equal(await dying.ended, null, dying.stderr())
    t.equal(receiver.received.length, 1)
    t.strictSame(await service.deliver(), { delivered: 0, failed: 0, dead: 0 }, 'its lease still holds')
    service.after(61_000)
    t.strictSame(await service.deliver(), { delivered: 1, failed: 0, dead: 0 })
    service.after(24 * 3_600_000)
    t.strictSame(await service.deliver(), { delivered: 0, failed: 0, dead: 0 })
    t.equal(receiver.received.length, 2)
    t.equal(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size, 1)
    t.equal(new Set(receiver.received.map(({ body }) => body)).size, 1)
  })

  t.test('presignd webhooks delivers, replays and enables', async t => {
    const receiver = await startReceiver(t)
    const service = await startWebhookService(t, s3, { engine, webhooks: `app: ${hook(receiver.url)}` })
    await service.upload()
    const run = async (...args: string[]) => {
      const running = runCli(t, ['webhooks', ...args], environmentOf(service))
      return { code: await running.ended, stdout: running.stdout(), stderr: running.stderr() }
    }
    receiver.answer(response => { response.writeHead(410).end() })
    t.match(await run('deliver'), { code: 0, stdout: '{"delivered":0,"failed":0,"dead":1,"pruned":0,"disabled":["app"]}\n' })
    const [{ id } = { id: '' }] = await outboxRows(service.services)
    t.match(await run('replay', id), { code: 1, stdout: '', stderr: /^presignd: WEBHOOK_DISABLED: .*\n$/ })
    t.match(await run('enable', 'app'), { code: 0, stdout: 'app is enabled\n' })
    t.match(await run('enable', 'other'), { code: 1, stderr: /^presignd: there is no webhook "other"/ })
    t.match(await run('replay', id), { code: 0, stdout: 'file.ready will be sent to app\n' })
    receiver.answer(response => { response.writeHead(204).end() })
    t.match(await run('deliver'), { code: 0, stdout: '{"delivered":1,"failed":0,"dead":0,"pruned":0,"disabled":[]}\n' })
    t.match(await run('deploy'), { code: 1, stderr: /^presignd: usage: presignd webhooks/ })
    t.match(await run('replay'), { code: 1, stderr: /^presignd: usage/ })
  })
}

t.test('F22: two processes share the work, and each event is sent once', async t => {
  const receiver = await startReceiver(t)
  const service = await startWebhookService(t, s3, { engine: 'postgres', webhooks: `app: ${hook(receiver.url)}` })
  await service.upload()
  const [row] = await outboxRows(service.services)
  const copies = Array.from({ length: 120 }, (_, index) => ({ ...row!, id: `copy-${index}`, file_id: `file-${index % 40}`, sequence: index }))
  await service.services.database.insertInto('outbox').values(copies).execute()
  const processes = [1, 2].map(() => runCli(t, ['webhooks', 'deliver'], environmentOf(service)))
  for (const { ended, stderr } of processes) t.equal(await ended, 0, stderr())
  await service.deliver()
  const ids = receiver.received.map(({ headers }) => headers['webhook-id'])
  t.equal(ids.length, 121)
  t.equal(new Set(ids).size, 121)
  const byFile = new Map<string, number[]>()
  for (const { headers } of receiver.received) {
    const index = Number(String(headers['webhook-id']).split('-')[1])
    if (String(headers['webhook-id']).startsWith('copy')) byFile.set(`file-${index % 40}`, [...byFile.get(`file-${index % 40}`) ?? [], index])
  }
  for (const sequences of byFile.values()) t.strictSame(sequences, [...sequences].sort((left, right) => left - right), 'in order')
})
