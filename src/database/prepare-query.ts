import type { Compilable, CompiledQuery, Kysely } from 'kysely'
import type { Database } from './schema.js'

/** Stands for a value that each call has its own of. */
class Parameter { constructor (readonly name: PropertyKey) {} }

/**
 * A query that differs from call to call in its values alone. Its text is made once for each database: making it takes
 * Kysely as long as SQLite takes to answer it.
 * @param build takes each value from `value` by its name, as it is, and calculates nothing from it
 */
export function prepareQuery<Values extends object, Row> (build: (database: Kysely<Database>, value: <Name extends keyof Values>(name: Name) => Values[Name]) => Compilable<Row>): (database: Kysely<Database>, values: Values) => Promise<Row[]> {
  // Transactions have the adapter of their database.
  const texts = new WeakMap<object, CompiledQuery<Row>>()
  return async (database, values) => {
    const { adapter } = database.getExecutor()
    let text = texts.get(adapter)
    if (!text) texts.set(adapter, text = build(database, name => new Parameter(name) as never).compile())
    const parameters = text.parameters.map(value => value instanceof Parameter ? values[value.name as keyof Values] : value)
    return (await database.executeQuery<Row>({ ...text, parameters })).rows
  }
}
