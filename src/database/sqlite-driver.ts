import { CompiledQuery, type DatabaseConnection, type Driver, type QueryResult } from 'kysely'
import type { WriteAheadLog } from './write-ahead-log.js'

/** One open file. What is asked is done before `run` returns, but need not be on the disk yet. */
export interface SqliteFile {
  prepare (sql: string): PreparedStatement
  /** Null when SQLite cares for the disk itself. */
  readonly log: WriteAheadLog | null
  close (): void
}

export interface PreparedStatement {
  readonly isWrite: boolean
  run (parameters: readonly unknown[]): { readonly rows: unknown[], readonly changes?: number | bigint }
}

/** A statement that is done once for each list of parameters. */
export interface RepeatedQuery extends CompiledQuery {
  readonly repeated: ReadonlyArray<readonly unknown[]>
}

/** After about as many pages as SQLite itself would wait for: https://www.sqlite.org/wal.html#ckpt */
const CHECKPOINT_PAGES = 1000
/** What each transaction changes: the ends of the table and its indexes, and counters. */
const PAGES_OF_A_COMMIT = 4
/** Of what else is new, with hardly any metadata; SQLite itself takes over where this is far from true. */
const PAGES_OF_A_ROW = 0.5

interface State {
  file: SqliteFile | null
  transaction: { readonly of: Connection, readonly ended: Promise<void>, readonly end: () => void } | null
  /** Writes wait for it. */
  checkpoint: Promise<void> | null
  /** About how many were written since the last checkpoint. */
  pages: number
}

/**
 * Kysely's own driver lends the one connection to one query after the other. Here a query waits for a transaction that is
 * under way, a write also for a checkpoint, and for nothing else: it is done in an instant, and queries of one moment keep step
 * (see cohorts.ts). Who has written is answered when it is on the disk; others go on meanwhile.
 */
export function createSqliteDriver (open: () => SqliteFile): Driver {
  const state: State = { file: null, transaction: null, checkpoint: null, pages: 0 }

  return {
    async init () { state.file = open() },
    async acquireConnection () { return new Connection(state) },

    async beginTransaction (connection) {
      while (state.transaction || state.checkpoint) await (state.transaction?.ended ?? state.checkpoint)
      let end = (): void => {}
      const ended = new Promise<void>(resolve => { end = resolve })
      state.transaction = { of: connection as Connection, ended, end }
      await connection.executeQuery(BEGIN)
    },

    async commitTransaction (connection) {
      await connection.executeQuery(COMMIT)
      endTransaction(state, connection)
      await settle(state)
    },

    // Not when it is the disk that failed, after the commit: by then it is another one that is under way.
    async rollbackTransaction (connection) {
      if (state.transaction?.of === connection) await connection.executeQuery(ROLLBACK)
    },

    // Also that of a transaction that could not even begin.
    async releaseConnection (connection) { endTransaction(state, connection) },

    async destroy () {
      await state.file?.log?.close()
      state.file?.close()
    }
  }
}

const [BEGIN, COMMIT, ROLLBACK] = ['begin', 'commit', 'rollback'].map(sql => CompiledQuery.raw(sql)) as [CompiledQuery, CompiledQuery, CompiledQuery]

function endTransaction (state: State, connection: DatabaseConnection): void {
  if (state.transaction?.of !== connection) return
  const { end } = state.transaction
  state.transaction = null
  end()
}

/** After a commit. */
async function settle (state: State): Promise<void> {
  const { log } = state.file as SqliteFile
  if (!log) return
  state.pages += PAGES_OF_A_COMMIT
  if (state.pages >= CHECKPOINT_PAGES && !state.checkpoint) {
    state.pages = 0
    const end = (): void => { state.checkpoint = null }
    state.checkpoint = log.checkpoint().then(end, end)
  }
  await log.flush()
}

class Connection implements DatabaseConnection {
  readonly #state: State

  constructor (state: State) {
    this.#state = state
  }

  async executeQuery<Row> ({ sql, parameters, repeated }: CompiledQuery & Partial<RepeatedQuery>): Promise<QueryResult<Row>> {
    const state = this.#state
    while (state.transaction && state.transaction.of !== this) await state.transaction.ended
    const statement = (state.file as SqliteFile).prepare(sql)
    while (statement.isWrite && state.transaction?.of !== this && (state.transaction || state.checkpoint)) await (state.transaction?.ended ?? state.checkpoint)
    const isInTransaction = state.transaction !== null
    const { rows, changes } = repeated ? { rows: repeated.map(each => ({ changes: Number(statement.run(each).changes) })) } : statement.run(parameters)
    if (statement.isWrite) {
      state.pages += Number(changes ?? rows.length) * PAGES_OF_A_ROW
      if (!isInTransaction) await settle(state)
    }
    return { rows: rows as Row[], ...(changes !== undefined && { numAffectedRows: BigInt(changes) }) }
  }

  streamQuery (): never {
    throw new Error('Answers of SQLite are there at once: nothing is streamed')
  }
}
