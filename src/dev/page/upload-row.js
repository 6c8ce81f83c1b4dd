// One upload as people see it.
/* global document, URL */

import { announce, at, clone } from './elements.js'
import { explain, formatSize, kindOf } from './words.js'

const STATE_WORDS = {
  waiting: () => 'Waiting for its turn',
  starting: () => 'Starting',
  sending: percent => `${percent} %`,
  paused: percent => `Paused at ${percent} %`,
  unfinished: () => 'Unfinished: choose the file again to go on.',
  checking: () => 'Checking what arrived',
  done: () => 'Done',
  cancelled: () => 'Cancelled'
}

const PAUSE = { word: 'Pause', label: name => `Pause ${name}`, run: row => row.upload.pause() }
const TRY_AGAIN = { word: 'Try again', label: name => `Try again: ${name}`, run: row => row.on.onStart() }
// One button that changes its word, so that the focus stays where it is.
const MAIN_ACTIONS = {
  waiting: PAUSE,
  starting: PAUSE,
  sending: PAUSE,
  paused: { word: 'Resume', label: name => `Resume ${name}`, run: row => row.on.onStart() },
  retrying: TRY_AGAIN,
  interrupted: TRY_AGAIN,
  unfinished: { word: 'Choose file', label: name => `Choose file: ${name}`, run: row => row.chooseAgain() }
}

export class UploadRow {
  /** `on` has the policy or else the content type, and what to do: `onStart()`, `onFile(file)`, `onRemove()`. */
  constructor (upload, on) {
    const { file } = upload
    this.upload = upload
    this.on = on
    this.element = clone('upload-template')
    this.main = this.#find('[data-action=main]')
    this.end = this.#find('[data-action=end]')
    this.#find('.upload-name').textContent = file.name
    this.#find('.upload-kind').textContent = kindOf(on.contentType ?? file.type)
    this.#find('.upload-size').textContent = formatSize(file.size)
    this.#find('progress').setAttribute('aria-label', `Upload of ${file.name}`)
    this.main.addEventListener('click', () => MAIN_ACTIONS[upload.state]?.run(this))
    this.end.addEventListener('click', on.onRemove)
    this.showPicture(file)
    this.show(upload)
  }

  show (upload) {
    const { state, problem, file } = upload
    const before = this.element.dataset.state
    this.element.dataset.state = state
    const percent = Math.floor(upload.progress * 100)
    const progress = this.#find('progress')
    progress.value = percent
    progress.hidden = state === 'failed'
    const words = problem ? explain(problem, { file, policy: this.on.policy }) : STATE_WORDS[state](percent)
    this.#find('.upload-status').textContent = words
    this.#showActions(state, file.name)
    // Each step is said once; percentages are left to the progress bar.
    if (before === undefined || before === state || state === 'done') return
    announce(state === 'sending' ? `Uploading ${file.name}` : `${file.name}: ${words}`)
  }

  showPicture (file) {
    if (!/^image\/(png|jpeg|gif|webp|avif)$/.test(file.type)) return
    const image = this.#find('img')
    image.addEventListener('load', () => { image.hidden = false })
    image.src = URL.createObjectURL(file)
  }

  /** Asks for this one file; the answer to a choice is a `change` event. */
  chooseAgain () {
    const input = at('again')
    input.value = ''
    input.onchange = () => this.on.onFile(input.files[0])
    input.click()
  }

  remove () {
    URL.revokeObjectURL(this.#find('img').src)
    this.element.remove()
  }

  #showActions (state, name) {
    const action = MAIN_ACTIONS[state]
    if (!action && this.main === document.activeElement) this.end.focus()
    this.main.hidden = !action
    if (action) {
      this.main.textContent = action.word
      this.main.setAttribute('aria-label', action.label(name))
    }
    this.end.textContent = state === 'failed' ? 'Remove' : 'Cancel'
    this.end.setAttribute('aria-label', `${this.end.textContent} ${name}`)
  }

  #find (selector) {
    return this.element.querySelector(selector)
  }
}
