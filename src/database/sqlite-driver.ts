import { CompiledQuery, type DatabaseConnection, type Driver, type QueryResult } from 'kysely'

/** One open file. What is asked is done before this returns. */
export interface SqliteFile {
  run (sql: string, parameters: readonly unknown[]): { readonly rows: unknown[], readonly changes?: number | bigint }
  close (): void
}

/** A statement that is done once for each list of parameters. */
export interface RepeatedQuery extends CompiledQuery {
  readonly repeated: ReadonlyArray<readonly unknown[]>
}

interface State {
  file: SqliteFile | null
  transaction: { readonly of: Connection, readonly ended: Promise<void>, readonly end: () => void } | null
}

/**
 * Kysely's own driver lends the one connection to one query after the other. Here a query waits for a transaction that is
 * under way, and for nothing else: it is done in an instant, and queries of one moment keep step (see plugins/cohorts.ts).
 */
export function createSqliteDriver (open: () => SqliteFile): Driver {
  const state: State = { file: null, transaction: null }

  return {
    async init () { state.file = open() },
    async acquireConnection () { return new Connection(state) },

    async beginTransaction (connection) {
      while (state.transaction) await state.transaction.ended
      let end = (): void => {}
      const ended = new Promise<void>(resolve => { end = resolve })
      state.transaction = { of: connection as Connection, ended, end }
      await connection.executeQuery(CompiledQuery.raw('begin'))
    },

    async commitTransaction (connection) { await connection.executeQuery(CompiledQuery.raw('commit')) },
    async rollbackTransaction (connection) { await connection.executeQuery(CompiledQuery.raw('rollback')) },

    // Also that of a transaction that could not even begin.
    async releaseConnection (connection) {
      if (state.transaction?.of !== connection) return
      const { end } = state.transaction
      state.transaction = null
      end()
    },

    async destroy () { state.file?.close() }
  }
}

class Connection implements DatabaseConnection {
  readonly #state: State

  constructor (state: State) {
    this.#state = state
  }

  async executeQuery<Row> ({ sql, parameters, repeated }: CompiledQuery & Partial<RepeatedQuery>): Promise<QueryResult<Row>> {
    const state = this.#state
    while (state.transaction && state.transaction.of !== this) await state.transaction.ended
    const file = state.file as SqliteFile
    if (repeated) return { rows: repeated.map(each => ({ changes: Number(file.run(sql, each).changes) })) as Row[] }
    const { rows, changes } = file.run(sql, parameters)
    return { rows: rows as Row[], ...(changes !== undefined && { numAffectedRows: BigInt(changes) }) }
  }

  streamQuery (): never {
    throw new Error('Answers of SQLite are there at once: nothing is streamed')
  }
}
