import { ApiError } from '../errors.js'

/** How many rows one transaction takes at most: more would hold the event loop for too long. */
const MAX_GROUP = 100

/** `run` tells each call of its failure itself. */
const never = (): void => {}

interface Waiting<Item, Result> {
  readonly items: readonly Item[]
  readonly resolve: (results: Result[]) => void
  readonly reject: (error: unknown) => void
}

/**
 * Makes calls of the same turn of the event loop share one transaction, since a commit costs far more than a
 * row. Each call is answered only after its commit. When a shared transaction fails, each call is tried by
 * itself, so that one bad row fails alone.
 * @param insert one transaction; results in the order of the items
 */
export function groupInserts<Item, Result> (insert: (items: readonly Item[]) => Promise<Result[]>): (items: readonly Item[]) => Promise<Result[]> {
  let waiting: Array<Waiting<Item, Result>> = []

  async function run (group: ReadonlyArray<Waiting<Item, Result>>): Promise<void> {
    try {
      const results = await insert(group.flatMap(({ items }) => items))
      let begin = 0
      for (const { items, resolve } of group) resolve(results.slice(begin, begin += items.length))
    } catch (error) {
      // An outage fails everyone alike; asking again for each would only keep them waiting.
      const isOutage = error instanceof ApiError && error.code === 'NOT_READY'
      if (group.length === 1 || isOutage) for (const { reject } of group) reject(error)
      else for (const call of group) await run([call])
    }
  }

  function flush (): void {
    const calls = waiting
    waiting = []
    let group: Array<Waiting<Item, Result>> = []
    let size = 0
    for (const call of calls) {
      if (size > 0 && size + call.items.length > MAX_GROUP) {
        run(group).catch(never)
        group = []
        size = 0
      }
      group.push(call)
      size += call.items.length
    }
    run(group).catch(never)
  }

  return async items => await new Promise((resolve, reject) => {
    if (waiting.length === 0) setImmediate(flush)
    waiting.push({ items, resolve, reject })
  })
}
