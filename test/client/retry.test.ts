import t, { type Test } from 'tap'
import { PassingFault, retry, wait } from '../../src/client/retry.js'
import { UploadError } from '../../src/client/upload-error.js'

const busy = new UploadError('STORAGE_ERROR', 503, 'Busy.')

t.test('a fault that does not pass is tried six times, after longer and longer waits', async t => {
  const waits = skipWaits(t)
  let tries = 0
  await t.rejects(retry(async () => {
    tries += 1
    throw new PassingFault(busy)
  }, undefined), busy)
  t.equal(tries, 6)
  t.equal(waits.length, 5)
  for (const [index, longest] of [500, 1000, 2000, 4000, 8000].entries()) {
    const milliseconds = waits[index] ?? 0
    t.ok(milliseconds >= longest / 2 && milliseconds <= longest, `${milliseconds} is in the upper half of ${longest}`)
  }
})

t.test('waits differ from client to client', async t => {
  const waits = skipWaits(t)
  for (let client = 0; client < 20; client += 1) {
    let isFirst = true
    await retry(async () => {
      if (!isFirst) return
      isFirst = false
      throw new PassingFault(busy)
    }, undefined)
  }
  t.ok(new Set(waits).size > 1)
})

t.test('a server that says when is asked no earlier', async t => {
  const waits = skipWaits(t)
  let tries = 0
  await retry(async () => {
    tries += 1
    if (tries === 1) throw new PassingFault(new UploadError('RATE_LIMITED', 429, 'Wait.', { retryAfterSeconds: 7 }))
  }, undefined)
  t.same(waits, [7000])
})

t.test('every other error is thrown at once', async t => {
  const waits = skipWaits(t)
  await t.rejects(retry(async () => { throw busy }, undefined), busy)
  t.same(waits, [])
})

t.test('a signal ends the waiting with its reason', async t => {
  const controller = new AbortController()
  const reason = new Error('enough')
  const waiting = retry(async () => {
    setImmediate(() => controller.abort(reason))
    throw new PassingFault(new UploadError('RATE_LIMITED', 429, 'Wait.', { retryAfterSeconds: 60 }))
  }, controller.signal)
  await t.rejects(waiting, reason)
  await t.rejects(wait(60_000, AbortSignal.abort(reason)), reason, 'also one that has come before')
})

/** Lets every wait be over at once, and tells how long it would have been. */
function skipWaits (t: Test): number[] {
  const waits: number[] = []
  const { setTimeout: real } = globalThis
  const skipping = (task: () => void, milliseconds: number): NodeJS.Timeout => {
    waits.push(milliseconds)
    return real(task, 0)
  }
  globalThis.setTimeout = skipping as typeof setTimeout
  t.teardown(() => { globalThis.setTimeout = real })
  return waits
}
