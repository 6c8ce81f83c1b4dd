import { PostgresAdapter, SelectQueryNode, type Compilable, type CompiledQuery, type Kysely } from 'kysely'
import { createCohorts } from '../cohorts.js'
import { keepPrepared } from './prepared-statements.js'
import type { Database } from './schema.js'

/** Stands for a value that each call has its own of. */
class Parameter { constructor (readonly name: PropertyKey) {} }

/** Answers of PostgreSQL come one by one, each over its own connection. */
const answered = createCohorts()

/**
 * A query that differs from call to call in its values alone. Its text is made once for each database: making it takes
 * Kysely as long as SQLite takes to answer it. From PostgreSQL rows come as JSON, which is read several times as fast as dozens of columns.
 * @param build takes each value from `value` by its name, as it is, and calculates nothing from it; on PostgreSQL, what it selects must be texts and numbers
 */
export function prepareQuery<Values extends object, Row> (build: (database: Kysely<Database>, value: <Name extends keyof Values>(name: Name) => Values[Name]) => Compilable<Row>): (database: Kysely<Database>, values: Values) => Promise<Row[]> {
  // Transactions have the adapter of their database.
  const prepared = new WeakMap<object, { readonly query: CompiledQuery, readonly isJson: boolean }>()
  return async (database, values) => {
    const { adapter } = database.getExecutor()
    let known = prepared.get(adapter)
    if (!known) {
      const query = build(database, name => new Parameter(name) as never).compile()
      const isJson = adapter instanceof PostgresAdapter && SelectQueryNode.is(query.query)
      prepared.set(adapter, known = { isJson, query: isJson ? { ...query, sql: keepPrepared(`select to_json(found) as row from (${query.sql}) as found`) } : query })
    }
    const { query, isJson } = known
    const parameters = query.parameters.map(value => value instanceof Parameter ? values[value.name as keyof Values] : value)
    const { rows } = await database.executeQuery(withParameters(query, parameters))
    if (!isJson) return rows as Row[]
    await new Promise<void>(answered)
    return rows.map(row => (row as { row: Row }).row)
  }
}

/** Named one by one: to overwrite what was spread takes several times as long. */
function withParameters ({ query, queryId, sql }: CompiledQuery, parameters: readonly unknown[]): CompiledQuery {
  return { query, queryId, sql, parameters }
}
