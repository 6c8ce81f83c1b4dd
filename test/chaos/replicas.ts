import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { freePort } from '../helpers/free-port.js'

export interface Replica {
  readonly url: string
  /** Ends it without a word, and starts it again. */
  kill (): Promise<void>
  /** Asks it to end, and starts it again. */
  restart (): Promise<void>
  signal (name: 'SIGSTOP' | 'SIGCONT'): void
  stop (): Promise<void>
}

/** One process of the service, on a port that it keeps. What it logs as an error is kept, for the report. */
export async function startReplica (program: string, env: Readonly<Record<string, string>>, onError: (line: string) => void): Promise<Replica> {
  const port = await freePort()
  let child = await start()

  async function start (): Promise<ChildProcess> {
    const started = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, 'serve'], { env: { ...env, PORT: String(port), PATH: process.env['PATH'] }, stdio: ['ignore', 'pipe', 'pipe'] })
    let ready = (): void => {}
    const isReady = new Promise<void>(resolve => { ready = resolve })
    let rest = ''
    started.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        if (line.includes('presignd is ready')) ready()
        // A 5xx is what faults are answered with; a 500 would be a fault of ours.
        if (line.includes('"code":"INTERNAL_ERROR"') || line.startsWith('{"level":60')) onError(line)
      }
    })
    started.stderr.setEncoding('utf8').on('data', onError)
    await Promise.race([isReady, once(started, 'close')])
    return started
  }

  async function end (signal: NodeJS.Signals): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill(signal)
    await once(child, 'close')
  }

  return {
    url: `http://127.0.0.1:${port}`,
    async kill () {
      await end('SIGKILL')
      child = await start()
    },
    async restart () {
      await end('SIGTERM')
      child = await start()
    },
    signal: name => { child.kill(name) },
    stop: async () => await end('SIGTERM')
  }
}
