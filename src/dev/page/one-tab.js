// Two tabs do not send the same upload. A tab that is closed lets go by itself. Where a browser has no locks, tabs do
// not see each other: the upload still ends well, with some parts sent twice.
/* global navigator, AbortSignal */

import { Problem } from './service.js'

const nameOf = id => `upload/${id}`
/** A tab that only looks holds the lock for a moment. */
const PATIENCE_MS = 1000

/** Runs the task while no other tab runs one for this upload. */
export async function inOneTab (id, task) {
  if (!navigator.locks) return await task()
  let isGranted = false
  const granted = () => {
    isGranted = true
    return task()
  }
  try {
    return await navigator.locks.request(nameOf(id), { signal: AbortSignal.timeout(PATIENCE_MS) }, granted)
  } catch (error) {
    throw isGranted ? error : new Problem('OTHER_TAB', 'Another tab is sending this file.')
  }
}

/** Resolves when no tab is sending this upload. */
export async function whenIdle (id) {
  await navigator.locks?.request(nameOf(id), { mode: 'shared' }, () => {})
}
