import { createHash } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { HTML, png } from '../helpers/samples.js'
import type { Random } from './random.js'

/** What all clients share. */
export interface Run {
  readonly urls: readonly string[]
  readonly isOver: () => boolean
  readonly count: (operation: string) => void
  readonly violation: (text: string) => void
  /** Remembers until when a URL for this upload may be used. */
  readonly handedOut: (id: string, expiresAt: string) => void
  /** Bytes that the store accepted: this upload has to become ready, unless its client takes that back. */
  readonly accepted: (id: string) => void
  readonly takenBack: (id: string) => void
}

type Json = Record<string, unknown> & { readonly code?: string, readonly file?: { readonly id: string, readonly status: string }, readonly upload?: Upload, readonly download?: { readonly url: string } }
interface Upload { readonly method: string, readonly url: string, readonly expiresAt: string, readonly headers: Record<string, string>, readonly fields?: Record<string, string>, readonly parts?: ReadonlyArray<{ url: string, headers: Record<string, string> }> }
interface Answer { readonly status: number, readonly body: Json }

/** Longer than a lease, which a killed process leaves behind. */
const PATIENCE_MS = 150_000
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** One user, who uploads, vanishes, completes, replaces and deletes, and who tries again whatever was not answered. */
export async function runClient (run: Run, token: string, random: Random): Promise<void> {
  const ready = new Map<string, { readonly hash: string, readonly policy: string }>()
  let sequence = 0

  async function call (method: string, path: string, body?: object, headers: Record<string, string> = {}): Promise<Answer> {
    for (const giveUpAt = Date.now() + PATIENCE_MS; ;) {
      try {
        const reply = await fetch(`${random.pick(run.urls)}${path}`, {
          method,
          redirect: 'manual',
          headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }), ...headers },
          ...(body && { body: JSON.stringify(body) }),
          signal: AbortSignal.timeout(30_000)
        })
        const text = await reply.text()
        if (reply.status < 500 && reply.status !== 202) {
          run.count(`${method} ${path.split('/')[1]}`)
          return { status: reply.status, body: text === '' ? {} : JSON.parse(text) as Json }
        }
        if (reply.status === 500) run.violation(`${method} ${path} answered 500: ${text}`)
      } catch { /* The process was killed, or the connection broke: nobody knows what was done. */ }
      if (Date.now() > giveUpAt) throw new Error(`${method} ${path} was not answered in ${PATIENCE_MS} ms`)
      await delay(100 + random.integer(400))
    }
  }

  async function store (request: string | URL, init: RequestInit): Promise<number> {
    for (let attempt = 1; attempt < 20; attempt++) {
      try {
        const reply = await fetch(request, init)
        await reply.arrayBuffer()
        if (reply.status < 500) return reply.status
      } catch { /* as above */ }
      await delay(50 + random.integer(100))
    }
    return 0
  }

  async function send (upload: Upload, bytes: Buffer): Promise<boolean> {
    if (upload.fields) {
      const form = new FormData()
      for (const [name, value] of Object.entries(upload.fields)) form.append(name, value)
      form.append('file', new Blob([bytes]))
      return await store(upload.url, { method: 'POST', body: form }) === 201
    }
    if (upload.parts) {
      const [part] = upload.parts
      return part !== undefined && await store(part.url, { method: 'PUT', headers: part.headers, body: bytes }) === 200
    }
    return [200, 412].includes(await store(upload.url, { method: 'PUT', headers: upload.headers, body: bytes }))
  }

  async function uploadOne (): Promise<void> {
    const isGood = !random.chance(0.1)
    const content = png(random.integer(60_000))
    const bytes = isGood ? content : Buffer.concat([HTML, Buffer.alloc(content.length)]).subarray(0, content.length)
    const road = random.pick([{ policy: 'pictures' }, { policy: 'forms' }, { policy: 'parts', method: 'multipart' }])
    const [old] = random.chance(0.2) ? [...ready].filter(([, { policy }]) => policy === road.policy).map(([id]) => id) : []
    // From now on its content may be the old or the new one, until this client hears that it is the new one.
    if (old !== undefined) ready.delete(old)
    const key = `${sequence++}`
    const body = { ...road, filename: 'a.png', contentType: 'image/png', sizeBytes: bytes.length, ...(old !== undefined && { replaces: old }) }
    const created = await call('POST', '/uploads', body, { 'idempotency-key': key })
    if (created.status !== 201 || !created.body.file) return run.violation(`create answered ${created.status} ${created.body.code ?? ''}`)
    const { file, upload } = created.body
    if (!upload) return
    run.handedOut(file.id, upload.expiresAt)
    if (random.chance(0.1)) return
    if (!await send(upload, bytes)) return
    // Multipart uploads are not checked by their first bytes in this policy.
    const isAccepted = isGood || road.policy === 'parts'
    if (isAccepted) run.accepted(file.id)
    if (random.chance(0.1)) return
    if (random.chance(0.1)) {
      run.takenBack(file.id)
      const aborted = await call('DELETE', `/uploads/${file.id}`)
      // The sweeper may have made it ready before; after a repeat nobody knows.
      if (![204, 409, 404].includes(aborted.status)) run.violation(`abort answered ${aborted.status} ${aborted.body.code ?? ''}`)
      return
    }
    const completed = await call('POST', `/uploads/${file.id}/complete`, {})
    if (!isAccepted) {
      if (completed.status !== 422) run.violation(`a bad upload was answered ${completed.status} ${completed.body.code ?? ''}`)
      return
    }
    if (completed.status !== 200 || completed.body.file?.status !== 'ready') {
      return run.violation(`a good upload ${file.id} (${road.policy}) was answered ${completed.status} ${completed.body.code ?? completed.body.file?.status ?? ''}`)
    }
    ready.set(completed.body.file.id, { hash: sha256(bytes), policy: road.policy })
  }

  async function lookAtOne (): Promise<void> {
    const [id, file] = random.pick([...ready]) ?? []
    if (id === undefined) return
    const { status, body } = await call('POST', '/downloads', { fileId: id })
    if (status !== 201 || !body.download) return run.violation(`the ready file ${id} was answered ${status} ${body.code ?? ''}`)
    const reply = await fetch(body.download.url).catch(() => null)
    if (reply?.status === 404) run.violation(`the ready file ${id} has no object`)
    if (reply?.ok) {
      const bytes = new Uint8Array(await reply.arrayBuffer().catch(() => new ArrayBuffer(0)))
      if (bytes.length > 0 && sha256(bytes) !== file?.hash) run.violation(`the ready file ${id} has other bytes than were sent`)
    }
  }

  async function deleteOne (): Promise<void> {
    const [id] = random.pick([...ready]) ?? []
    if (id === undefined) return
    ready.delete(id)
    run.takenBack(id)
    const { status } = await call('DELETE', `/files/${id}`)
    if (status !== 204 && status !== 404) run.violation(`delete answered ${status}`)
    if ((await call('GET', `/files/${id}`)).status !== 404) run.violation(`the deleted file ${id} is still there`)
  }

  while (!run.isOver()) {
    const choice = random.next()
    if (choice < 0.6) await uploadOne()
    else if (choice < 0.9) await lookAtOne()
    else await deleteOne()
    await delay(random.integer(200))
  }
}
