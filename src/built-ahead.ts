import type { Check, Write } from './schema-compilers.js'

// From source there is nothing here: `build.ts` puts a module in place of this one.

/** What is made of the schemas of all routes, by `schemaKey`, and of the rules of what an operator writes, by their names. */
export const compiledSchemas: Readonly<Record<string, () => Check | Write>> = {}

/** What the routes are described by, which takes longer than anything else that can be asked for. */
export const description: { readonly json: string, readonly yaml: string } | undefined = undefined
