import { databaseOutage } from '../database/database.js'
import { ApiError } from '../errors.js'

/** How many rows one transaction takes at most: more would hold the event loop for too long. */
const MAX_GROUP = 100
/** How many turns of the event loop a group grows for at most, a millisecond or two under full load. */
const MAX_TURNS = 8
/** One is committed while the next one is sent. More would wait for each other in the database, each with fewer rows. */
const MAX_UNDER_WAY = 2
/** How long a call waits for the groups before it: as long as for a connection. */
const MAX_WAIT_MS = 2000

/** `run` tells each call of its failure itself. */
const never = (): void => {}

interface Waiting<Item, Result> {
  readonly items: readonly Item[]
  readonly resolve: (results: Result[]) => void
  readonly reject: (error: unknown) => void
}

/**
 * Makes calls share a transaction, since a commit costs far more than a row: those of one turn of the event loop, of
 * the turns after it while each brings more, and of as long as earlier groups are under way. A call alone waits for
 * nobody. Each is answered only after its commit. When a shared transaction fails, each call is tried by itself, so
 * that one bad row fails alone; when the groups before it do not come back, a call fails with NOT_READY.
 * @param insert one transaction; results in the order of the items
 */
export function groupInserts<Item, Result> (insert: (items: readonly Item[]) => Promise<Result[]>, { maxWaitMs = MAX_WAIT_MS } = {}): (items: readonly Item[]) => Promise<Result[]> {
  const waiting: Array<Waiting<Item, Result>> = []
  let underWay = 0
  let isGathering = false
  let patience: NodeJS.Timeout | undefined

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

  /** The calls that came first, as many as a transaction takes, and never less than one. */
  function takeGroup (): Array<Waiting<Item, Result>> {
    let count = 0
    let size = 0
    for (const { items } of waiting) {
      if (count > 0 && size + items.length > MAX_GROUP) break
      count++
      size += items.length
    }
    return waiting.splice(0, count)
  }

  function start (): void {
    clearTimeout(patience)
    patience = undefined
    while (waiting.length > 0 && underWay < MAX_UNDER_WAY) {
      underWay++
      run(takeGroup()).finally(() => {
        underWay--
        if (!isGathering) start()
      }).catch(never)
    }
    if (waiting.length > 0) patience = setTimeout(giveUp, maxWaitMs)
  }

  function giveUp (): void {
    const error = databaseOutage(new Error(`No transaction ended for ${maxWaitMs} ms`))
    for (const { reject } of waiting.splice(0)) reject(error)
  }

  /** Looks again after each turn that brought more. */
  function gather (known: number, turns: number): void {
    isGathering = waiting.length > known && waiting.length < MAX_GROUP && turns < MAX_TURNS
    if (isGathering) setImmediate(gather, waiting.length, turns + 1)
    else start()
  }

  return async items => await new Promise((resolve, reject) => {
    waiting.push({ items, resolve, reject })
    if (isGathering || waiting.length > 1) return
    isGathering = true
    setImmediate(gather, 1, 1)
  })
}
