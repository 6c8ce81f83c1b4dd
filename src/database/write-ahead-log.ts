import { closeSync, fdatasync, openSync } from 'node:fs'
import { Worker } from 'node:worker_threads'

/** What SQLite would do at the end of a transaction, while the event loop waits for the disk. */
export interface WriteAheadLog {
  /**
   * Ends when all that was committed until now is on the disk. Commits of one moment share what it costs.
   * @throws `SQLITE_IOERR_FSYNC`, as SQLite itself would
   */
  flush (): Promise<void>
  /** Moves what was committed from the log to the database, and begins the log anew, which who writes meanwhile keeps it from. */
  checkpoint (): Promise<void>
  close (): Promise<void>
}

/** The pages in the log, and how many of them have come to the database. */
export interface Checkpointed { readonly busy: number, readonly log: number, readonly checkpointed: number }

/**
 * @param checkpointHere in this thread, for when the log itself cannot be written
 * @see https://www.sqlite.org/wal.html
 */
export function openWriteAheadLog (path: string, checkpointHere: () => Checkpointed): WriteAheadLog {
  let file: number | undefined
  let waiting: Array<(failure: Error | null) => void> = []
  let isFlushing = false
  // What once failed to be written, Linux does not try again: all later successes would mean nothing.
  let isTrusted = true
  let thread: Worker | undefined
  const threadIsIdle = setTimeout(() => { endThread().catch(never) }, THREAD_IDLE_MS).unref()

  async function flushWaiting (): Promise<void> {
    isFlushing = true
    while (waiting.length > 0) {
      const served = waiting
      waiting = []
      const failure = await flushOnce().then(() => null, (error: Error) => error)
      for (const tell of served) tell(failure)
    }
    isFlushing = false
  }

  async function flushOnce (): Promise<void> {
    let cause: unknown
    try {
      if (isTrusted) {
        // SQLite makes it with the first transaction, and keeps it for as long as the database is open.
        file ??= openSync(`${path}-wal`, 'r+')
        await writeToDisk(file)
        return
      }
    } catch (error) {
      isTrusted = false
      cause = error
    }
    // What is in the database itself, and flushed there, does not need the log.
    try {
      const { busy, log, checkpointed } = checkpointHere()
      isTrusted = busy === 0 && checkpointed === log
    } catch (error) {
      cause ??= error
    }
    if (!isTrusted) throw Object.assign(new Error('disk I/O error', { cause }), { errcode: SQLITE_IOERR_FSYNC })
  }

  function startThread (): Worker {
    const started = new Worker(THREAD, {
      eval: true,
      workerData: { path, service: import.meta.url },
      execArgv: ['--disable-warning=ExperimentalWarning'],
      env: {}
    })
    // It ends by an error. Then the log grows until the next checkpoint, by another thread or by SQLite itself.
    started.on('error', () => { if (thread === started) thread = undefined })
    return started
  }

  /** After what it was asked for. */
  async function endThread (): Promise<void> {
    const current = thread
    thread = undefined
    if (!current) return
    current.ref()
    await new Promise(resolve => {
      current.on('exit', resolve)
      current.postMessage('close')
    })
  }

  return {
    flush: async () => await new Promise((resolve, reject) => {
      waiting.push(failure => {
        if (failure) reject(failure)
        else resolve()
      })
      if (!isFlushing) flushWaiting().catch(never)
    }),

    checkpoint: async () => await new Promise(resolve => {
      const current = thread ??= startThread()
      const end = (): void => {
        current.off('message', end).off('exit', end).unref()
        threadIsIdle.refresh()
        resolve()
      }
      current.on('message', end).on('exit', end).ref()
      current.postMessage('checkpoint')
    }),

    async close () {
      if (file !== undefined) closeSync(file)
      clearTimeout(threadIsIdle)
      await endThread()
    }
  }
}

async function writeToDisk (file: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    fdatasync(file, error => {
      if (error) reject(error)
      else resolve()
    })
  })
}

/** It takes 10 MiB of memory. */
const THREAD_IDLE_MS = 30_000

/** Each who waits is told of the failure. */
const never = (): void => {}

/** https://www.sqlite.org/rescode.html#ioerr_fsync */
const SQLITE_IOERR_FSYNC = 1034

/** As text: nothing that bundles the service has to know of a second program. */
const THREAD = `
const { parentPort, workerData } = require('node:worker_threads')
const { DatabaseSync } = process.getBuiltinModule?.('node:sqlite') ?? require('node:module').createRequire(workerData.service)('@photostructure/sqlite')
const database = new DatabaseSync(workerData.path)
database.exec('pragma busy_timeout = 1000')
const checkpoint = database.prepare('pragma wal_checkpoint(passive)')
parentPort.on('message', message => {
  if (message === 'checkpoint') {
    checkpoint.all()
    // Whoever writes first begins the log anew and waits for the disk, whatever 'synchronous' says. So it is done here, by a number that means nothing.
    database.exec('pragma user_version = 0')
    parentPort.postMessage('done')
  } else {
    database.close()
    parentPort.close()
  }
})
`
