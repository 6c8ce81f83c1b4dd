// What every piece of the page uses: finding and copying elements, and saying things.
/* global document */

import { Problem } from './service.js'
import { explain } from './words.js'

export const at = id => document.getElementById(id)
export const clone = id => at(id).content.firstElementChild.cloneNode(true)

/** Read out by screen readers, not shown. */
export function announce (text) {
  at('status').textContent = text
}

export function showNotice (text) {
  const notice = at('notice')
  notice.hidden = text === ''
  notice.querySelector('p').textContent = text
}

/** Runs what a click asks for; what goes wrong ends in the notice and not in the console alone. */
export function act (action) {
  return async (...args) => {
    try {
      showNotice('')
      await action(...args)
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem
      // The end of the session has been told to the whole page.
      if (problem.code !== 'UNAUTHENTICATED') showNotice(explain(problem))
    }
  }
}
