import { pino, type Bindings, type Logger } from 'pino'
import { ConfigError, type Config } from './config.js'

/** What must never be read in a log, wherever it turns up: tokens and signed URLs. */
const SECRET_PATHS = ['authorization', 'cookie', 'url', 'headers', 'fields', 'query'].flatMap(name => [name, `*.${name}`])

export interface LogDestination { write (line: string): unknown }

function standardOutput (): LogDestination {
  return writeTogether(pino.destination(1))
}

export function createLog (config: Config, destination = standardOutput()): Logger {
  return pino({ level: config.logLevel, base: null, redact: { paths: SECRET_PATHS, censor: '[redacted]' } }, destination)
}

/** How long a line waits for others. */
const GATHER_MS = 25

/**
 * What is logged within a moment leaves in one write, since waking up the thread that writes takes longer than making a line, and
 * a tenth of what a lone request takes. Only a process that is killed can lose lines, those of its last moment.
 */
export function writeTogether (destination: LogDestination): LogDestination {
  let lines = ''
  function flush (): void {
    unwritten.delete(flush)
    destination.write(lines)
    lines = ''
  }
  return {
    write (line) {
      if (lines === '') {
        setTimeout(flush, GATHER_MS)
        unwritten.add(flush)
      }
      lines += line
    }
  }
}

/** Keeps lines until they are released, and from then on passes them through. */
export function holdBack (destination = standardOutput()): LogDestination & { release (): void } {
  let held: string[] | null = []
  return {
    write (line) {
      if (held) held.push(line)
      else destination.write(line)
    },
    release () {
      for (const line of held ?? []) destination.write(line)
      held = null
    }
  }
}

/** What has to be done at the end of the process; one listener for all, since coming and going takes longer than a line. */
const unwritten = new Set<() => void>()
process.on('exit', () => { for (const flush of unwritten) flush() })

/** A child that is made when it logs: most requests log nothing but their one line, which names them anyway. */
export function lazyChild (parent: Logger, bindings: Bindings): Logger {
  return new LazyChild(parent, bindings) as unknown as Logger
}

class LazyChild {
  readonly #parent: Logger
  readonly #bindings: Bindings
  #child: Logger | undefined

  constructor (parent: Logger, bindings: Bindings) {
    this.#parent = parent
    this.#bindings = bindings
  }

  get level (): string { return this.#parent.level }

  static {
    for (const method of ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'child'] as const) {
      Object.defineProperty(this.prototype, method, {
        value (this: LazyChild, ...values: unknown[]) {
          this.#child ??= this.#parent.child(this.#bindings)
          return Reflect.apply(this.#child[method], this.#child, values)
        }
      })
    }
  }
}

export interface AuditLog {
  /** Null when nobody wants to know. */
  readonly audit: Logger | null
  /** Begins a new file by the same name, once the old one was moved away; null where there is none. */
  readonly reopen: (() => void) | null
}

/** What waits to be written while the disk is full; the rest is dropped. */
const MAX_AUDIT_BYTES = 1024 * 1024

/**
 * Each line is written at once, so that a crash loses none. A disk that is full loses lines, which the log tells, and
 * fails no request. Times are UTC.
 * @param target the path of a file, or `stdout`; no log when undefined
 * @throws {ConfigError} when the file cannot be opened
 */
export function createAuditLog (target: string | undefined, log: Logger): AuditLog {
  if (target === undefined) return { audit: null, reopen: null }
  const stream = openAuditFile(target)
  stream.on('error', (error: Error) => { log.error({ err: error }, 'the audit log cannot be written') })
  const reopen = (): void => {
    try {
      stream.reopen()
    } catch (error) {
      log.error({ err: error }, 'the audit log cannot be opened again: it goes on in the old file')
    }
  }
  return {
    audit: pino({ base: { audit: true }, timestamp: pino.stdTimeFunctions.isoTime, formatters: { level: level => ({ level }) } }, stream),
    reopen: target === STDOUT ? null : reopen
  }
}

/** What AUDIT_LOG names instead of a file. */
const STDOUT = 'stdout'

function openAuditFile (target: string): ReturnType<typeof pino.destination> {
  try {
    return pino.destination({ dest: target === STDOUT ? 1 : target, sync: true, mkdir: true, maxLength: MAX_AUDIT_BYTES })
  } catch (error) {
    throw new ConfigError([`AUDIT_LOG: ${target} cannot be written: ${(error as Error).message}`])
  }
}
