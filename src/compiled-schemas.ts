import type { Check, Write } from './schema-compilers.js'

/** What the build has made of the schemas of all routes, by `schemaKey`. From source there is nothing: see `build.ts`. */
export const compiledSchemas: Readonly<Record<string, () => Check | Write>> = {}
