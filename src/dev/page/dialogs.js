// Questions that wait for an answer.
/* global AbortController */

import { at } from './elements.js'

/** Whether the dialog was confirmed. Not by its `close` event, which comes late and may meet the next question. */
function ask (dialog) {
  dialog.showModal()
  return new Promise(resolve => {
    const listening = new AbortController()
    const answer = isConfirmed => {
      listening.abort()
      dialog.close()
      resolve(isConfirmed)
    }
    const { signal } = listening
    dialog.addEventListener('cancel', () => answer(false), { signal })
    dialog.querySelector('[data-close]').addEventListener('click', () => answer(false), { signal })
    dialog.addEventListener('submit', event => {
      event.preventDefault()
      answer(true)
    }, { signal })
  })
}

/** The new name, or null. */
export async function askName (filename) {
  const input = at('rename-name')
  input.value = filename
  const answer = ask(at('rename-dialog'))
  input.focus()
  // The part before the extension is what one wants to replace.
  input.setSelectionRange(0, filename.lastIndexOf('.') > 0 ? filename.lastIndexOf('.') : filename.length)
  return await answer ? input.value.trim() : null
}

export function confirmDelete (filename) {
  at('delete-text').textContent = `${filename} will be gone for good.`
  return ask(at('delete-dialog'))
}
