/* global document, window, sessionStorage, fetch, XMLHttpRequest, FormData, URL, setTimeout */

// ---------------------------------------------------------------------------------------------------------------------
// The service: JSON in, JSON out, and every error a problem with a code (RFC 9457).

class Problem extends Error {
  constructor (code, message, details = {}) {
    super(message)
    this.code = code
    this.retryAfterSeconds = details.retryAfterSeconds
  }
}

let session = null // { sub, name, token }

async function call (method, path, body) {
  let response
  try {
    response = await fetch(path, {
      method,
      cache: 'no-store',
      headers: {
        ...(session && { authorization: `Bearer ${session.token}` }),
        ...(body && { 'content-type': 'application/json' })
      },
      body: body && JSON.stringify(body)
    })
  } catch {
    throw new Problem('OFFLINE', 'The service cannot be reached.')
  }
  const json = response.status === 204 ? null : await response.json().catch(() => null)
  if (!response.ok) {
    const fields = (json?.errors ?? []).map(error => error.message).join(' ')
    throw new Problem(json?.code ?? `HTTP_${response.status}`, fields || json?.detail || json?.title || `The service answered ${response.status}.`)
  }
  return { status: response.status, json, retryAfterSeconds: Number(response.headers.get('retry-after')) || 1 }
}

// ---------------------------------------------------------------------------------------------------------------------
// The object storage: one function per method of upload instructions. Each one resolves when the bytes are there,
// reports progress as a number from 0 to 1, and gives up when the signal says so. Another method is another entry.

const senders = {
  PUT: ({ url, headers }, file, options) => send('PUT', url, headers, file, options),

  POST: ({ url, fields }, file, options) => {
    const form = new FormData()
    for (const [name, value] of Object.entries(fields)) form.append(name, value)
    form.append('file', file)
    return send('POST', url, {}, form, options)
  }
}

// What a browser sets by itself and lets no page set.
const BROWSER_HEADERS = new Set(['content-length', 'host'])

function send (method, url, headers, body, { onProgress, signal }) {
  // XMLHttpRequest, since fetch does not tell how much it has sent.
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    const stop = () => request.abort()
    request.open(method, url)
    for (const [name, value] of Object.entries(headers)) {
      if (!BROWSER_HEADERS.has(name.toLowerCase())) request.setRequestHeader(name, value)
    }
    request.upload.onprogress = event => { if (event.lengthComputable) onProgress(event.loaded / event.total) }
    request.onload = () => {
      // 412: the object is already there, so an earlier try had come through.
      if ((request.status >= 200 && request.status < 300) || request.status === 412) {
        onProgress(1)
        resolve()
      } else if (request.status === 403) {
        reject(new Problem('URL_EXPIRED', 'The permission to upload has run out. Your file is kept here: try again.'))
      } else {
        reject(new Problem('STORAGE', `The storage answered ${request.status}. Your file is kept here: try again.`))
      }
    }
    request.onerror = () => reject(new Problem('CONNECTION_LOST', 'The connection was lost. Your file is kept here: try again.'))
    request.onabort = () => reject(new Problem('CANCELLED', 'Cancelled.'))
    request.onloadend = () => signal.removeEventListener('abort', stop)
    signal.addEventListener('abort', stop)
    request.send(body)
  })
}

// ---------------------------------------------------------------------------------------------------------------------
// One upload, from a file of the disk to a file of the service. It draws nothing: whoever shows it passes `onChange`.
//
//   starting → sending → checking → done
//        any of them → interrupted (resume() goes on where it stopped) | failed | cancelled

const CHECK_ATTEMPTS = 30

class Upload {
  state = 'starting'
  progress = 0
  problem = null
  result = null
  #id = null
  #abort = new window.AbortController()

  constructor (file, policy, onChange) {
    this.file = file
    this.policy = policy
    this.onChange = onChange
  }

  get isActive () {
    return ['starting', 'sending', 'checking'].includes(this.state)
  }

  /** Starts, or goes on after an interruption: what has been created is asked for again, not created twice. */
  async resume () {
    this.#abort = new window.AbortController()
    this.#become('starting')
    try {
      const { json } = this.#id === null ? await this.#create() : await call('GET', `/uploads/${this.#id}`)
      this.#id = json.file.id
      if (this.state === 'cancelled') return await this.#withdraw()
      if (json.upload && json.file.status === 'pending') await this.#send(json.upload)
      this.result = json.file.status === 'ready' ? json.file : await this.#complete()
      this.#become('done')
    } catch (problem) {
      if (this.state === 'cancelled') return
      this.problem = problem
      this.#become(FINAL_CODES.has(problem.code) ? 'failed' : 'interrupted')
      if (problem.code === 'UNAUTHENTICATED') sessionExpired()
    }
  }

  async cancel () {
    const wasCreated = this.#id !== null
    this.#become('cancelled')
    this.#abort.abort()
    if (wasCreated) await this.#withdraw()
  }

  #create () {
    return call('POST', '/uploads', {
      policy: this.policy.name,
      filename: this.file.name,
      contentType: this.file.type || 'application/octet-stream',
      sizeBytes: this.file.size
    })
  }

  async #send (instructions) {
    const sender = senders[instructions.method]
    if (!sender) throw new Problem('UNKNOWN_METHOD', `This page cannot upload by ${instructions.method}.`)
    this.progress = 0
    this.#become('sending')
    await sender(instructions, this.file, {
      signal: this.#abort.signal,
      onProgress: progress => {
        this.progress = progress
        this.onChange(this)
      }
    })
  }

  async #complete () {
    this.#become('checking')
    for (let attempt = 0; attempt < CHECK_ATTEMPTS; attempt += 1) {
      const { status, json, retryAfterSeconds } = await call('POST', `/uploads/${this.#id}/complete`, {})
      if (status !== 202) return json.file
      await new Promise(resolve => setTimeout(resolve, retryAfterSeconds * 1000))
    }
    throw new Problem('STILL_CHECKING', 'Checking takes longer than expected. Try again in a while.')
  }

  async #withdraw () {
    // Best effort: what stays behind expires by itself.
    await call('DELETE', `/uploads/${this.#id}`).catch(() => {})
  }

  #become (state) {
    this.state = state
    if (state !== 'failed' && state !== 'interrupted') this.problem = null
    this.onChange(this)
  }
}

// Trying again would end the same way.
const FINAL_CODES = new Set([
  'CONTENT_TYPE_NOT_ALLOWED', 'FILE_TOO_LARGE', 'INVALID_REQUEST', 'OBJECT_MISMATCH', 'POLICY_FORBIDDEN', 'POLICY_NOT_FOUND',
  'QUOTA_EXCEEDED', 'SCOPE_MISSING', 'UPLOAD_EXPIRED', 'UPLOAD_NOT_FOUND', 'UNKNOWN_METHOD'
])

// ---------------------------------------------------------------------------------------------------------------------
// Words

function explain (problem, { file, policy } = {}) {
  switch (problem.code) {
    case 'CONTENT_TYPE_NOT_ALLOWED':
      return policy ? `This kind of file is not accepted here. ${kindsOf(policy)} will do.` : problem.message
    case 'FILE_TOO_LARGE':
      return policy && file
        ? `This file is too large: it has ${formatSize(file.size)}, and the limit is ${formatSize(policy.maxSizeBytes)}.`
        : problem.message
    case 'FILE_EMPTY': return 'This file is empty.'
    case 'QUOTA_EXCEEDED': return 'Your space is used up. Delete something first.'
    case 'OBJECT_MISSING': return 'The file has not arrived. It is kept here: try again.'
    // The first sentence says what is wrong; the rest is for those who program.
    case 'OBJECT_MISMATCH': return `${problem.message.split(/(?<=[.!])\s/)[0]} It was not kept.`
    case 'UPLOAD_EXPIRED':
    case 'UPLOAD_NOT_FOUND': return 'This upload has ended. Choose the file again.'
    case 'UNAUTHENTICATED': return 'Your session has expired. Sign in again, then go on.'
    case 'RATE_LIMITED': return 'That was a lot at once. Wait a moment, then try again.'
    case 'FILE_NOT_FOUND': return 'This file is gone.'
    default: return problem.message
  }
}

/** What the policy already tells is said before anything is sent. */
function findProblem (file, policy) {
  const type = file.type || 'application/octet-stream'
  const isAllowed = policy.contentTypes.some(allowed => allowed === type ||
    (allowed.endsWith('/*') && type.startsWith(allowed.slice(0, -1)) && type !== 'image/svg+xml'))
  if (!isAllowed) return new Problem('CONTENT_TYPE_NOT_ALLOWED', '')
  if (file.size > policy.maxSizeBytes) return new Problem('FILE_TOO_LARGE', '')
  if (file.size === 0 || file.size < (policy.minSizeBytes ?? 0)) return new Problem('FILE_EMPTY', '')
  return null
}

const KIND_NAMES = new Map([
  ['image/*', 'pictures'], ['image/jpeg', 'JPEG'], ['image/svg+xml', 'SVG'], ['text/plain', 'plain text'], ['video/*', 'videos'], ['audio/*', 'sound'],
  ['image/webp', 'WebP']
])

function kindsOf (policy) {
  const names = policy.contentTypes.map(type => KIND_NAMES.get(type) ?? type.split('/')[1].toUpperCase())
  const last = names.at(-1)
  const text = names.length > 1 ? `${names.slice(0, -1).join(', ')} or ${last}` : last
  return text[0].toUpperCase() + text.slice(1)
}

/** A word for the corner where a picture would be. */
function kindOf (contentType) {
  if (contentType === 'text/plain') return 'TEXT'
  return (contentType.split('/')[1] ?? '').split(/[.+-]/).at(-1).slice(0, 5).toUpperCase()
}

function formatSize (bytes) {
  if (bytes < 1024) return bytes === 1 ? '1 byte' : `${bytes} bytes`
  const units = ['KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes / 1024
  let unit = 0
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024
  // Rounded up, so that a file just over a limit never seems to be just under it.
  return `${Math.ceil(value * 10) / 10} ${units[unit]}`
}

const formatDate = new Intl.DateTimeFormat(undefined, { month: 'short', day: 'numeric', hour: 'numeric', minute: '2-digit' })

// ---------------------------------------------------------------------------------------------------------------------
// The page

const at = id => document.getElementById(id)
const clone = id => at(id).content.firstElementChild.cloneNode(true)

let policies = []
let nextCursor = null
const uploads = new Map() // Upload → its row

function announce (text) {
  at('status').textContent = text
}

function showNotice (text) {
  const notice = at('notice')
  notice.hidden = text === ''
  notice.querySelector('p').textContent = text
}

/** Runs what a click asks for; what goes wrong ends in the notice and not in the console alone. */
function act (action) {
  return async (...args) => {
    try {
      showNotice('')
      await action(...args)
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem
      if (problem.code === 'UNAUTHENTICATED') return sessionExpired()
      showNotice(explain(problem))
    }
  }
}

// Session

async function showSignIn () {
  session = null
  sessionStorage.removeItem('sub')
  at('account').hidden = true
  at('workspace').hidden = true
  at('gallery').replaceChildren()
  announce('')
  const { json } = await call('GET', '/dev/users')
  at('users').replaceChildren(...json.data.map(user => {
    const item = clone('user-template')
    item.querySelector('.avatar').textContent = user.name[0]
    item.querySelector('.user-name').textContent = user.name
    item.querySelector('button').addEventListener('click', act(() => signIn(user.sub)))
    return item
  }))
  at('sign-in').hidden = false
}

async function signIn (sub) {
  // Asked for again, so that the token is a fresh one.
  const { json } = await call('GET', '/dev/users')
  const user = json.data.find(user => user.sub === sub)
  if (!user) return await showSignIn()
  session = user
  sessionStorage.setItem('sub', sub)
  for (const upload of uploads.keys()) if (upload.owner !== sub) removeUpload(upload)
  at('gallery').replaceChildren()
  nextCursor = null
  try {
    await Promise.all([loadPolicies(), loadFiles()])
  } catch (problem) {
    await showSignIn()
    throw problem
  }
  document.querySelector('.account .avatar').textContent = user.name[0]
  document.querySelector('.account-name').textContent = user.name
  at('workspace-title').textContent = `Hello, ${user.name}`
  at('sign-in').hidden = true
  at('account').hidden = false
  at('workspace').hidden = false
  at('workspace-title').focus()
}

async function signOut () {
  for (const upload of [...uploads.keys()]) {
    if (upload.isActive) upload.cancel()
    removeUpload(upload)
  }
  await showSignIn()
  at('sign-in-title').focus()
}

function sessionExpired () {
  showNotice('Your session has expired. Sign in again to go on where you were.')
  if (session === null) return
  act(async () => {
    await showSignIn()
    showNotice('Your session has expired. Sign in again to go on where you were.')
    at('sign-in-title').focus()
  })()
}

// Choosing files

async function loadPolicies () {
  const { json } = await call('GET', '/policies')
  policies = json.data
  at('policy').replaceChildren(...policies.map(policy => new window.Option(policy.name, policy.name)))
  at('policy-choice').hidden = policies.length < 2
  at('drop').hidden = policies.length === 0
  showPolicy()
}

function chosenPolicy () {
  return policies.find(policy => policy.name === at('policy').value)
}

function showPolicy () {
  const policy = chosenPolicy()
  if (!policy) return
  at('files').accept = policy.accept ?? policy.contentTypes.join(',')
  at('limits').textContent = `${kindsOf(policy)}, up to ${formatSize(policy.maxSizeBytes)}`
  const isPicture = policy.contentTypes.every(type => type.startsWith('image/'))
  document.querySelector('.drop-action').textContent = isPicture ? 'Choose a picture' : 'Choose a file'
}

function addFiles (files) {
  const policy = chosenPolicy()
  if (!policy) return
  for (const file of files) addUpload(file, policy)
}

// Uploads

function addUpload (file, policy) {
  const upload = new Upload(file, policy, showUpload)
  upload.owner = session.sub
  const row = clone('upload-template')
  uploads.set(upload, row)
  row.querySelector('.upload-name').textContent = file.name
  row.querySelector('.upload-kind').textContent = kindOf(file.type)
  row.querySelector('.upload-size').textContent = formatSize(file.size)
  row.querySelector('progress').setAttribute('aria-label', `Upload of ${file.name}`)
  row.querySelector('[data-action=retry]').addEventListener('click', () => resumeUpload(upload))
  row.querySelector('[data-action=remove]').addEventListener('click', () => {
    if (upload.state !== 'failed') upload.cancel()
    removeUpload(upload)
    at('files').focus()
  })
  if (/^image\/(png|jpeg|gif|webp|avif)$/.test(file.type)) {
    const image = row.querySelector('img')
    image.addEventListener('load', () => { image.hidden = false })
    image.src = URL.createObjectURL(file)
  }
  at('uploads').prepend(row)
  const problem = findProblem(file, policy)
  if (problem) {
    upload.problem = problem
    upload.state = 'failed'
    showUpload(upload)
  } else {
    resumeUpload(upload)
  }
}

async function resumeUpload (upload) {
  await upload.resume()
  if (upload.state !== 'done') return
  const hadFocus = uploads.get(upload)?.contains(document.activeElement)
  removeUpload(upload)
  const item = createFileItem(upload.result)
  item.classList.add('new')
  at('gallery').prepend(item)
  showEmptiness()
  announce(`${upload.result.filename} is uploaded.`)
  if (hadFocus) item.querySelector('button').focus()
}

function removeUpload (upload) {
  const row = uploads.get(upload)
  if (!row) return
  URL.revokeObjectURL(row.querySelector('img').src)
  row.remove()
  uploads.delete(upload)
}

const STATE_WORDS = { starting: 'Starting', checking: 'Checking what arrived', done: 'Done', cancelled: 'Cancelled' }

function showUpload (upload) {
  const row = uploads.get(upload)
  if (!row) return
  const before = row.dataset.state
  row.dataset.state = upload.state
  const percent = Math.floor(upload.progress * 100)
  const progress = row.querySelector('progress')
  progress.value = percent
  progress.hidden = upload.problem !== null
  const words = upload.problem
    ? explain(upload.problem, upload)
    : upload.state === 'sending' ? `${percent} %` : STATE_WORDS[upload.state]
  row.querySelector('.upload-status').textContent = words
  const retry = row.querySelector('[data-action=retry]')
  const remove = row.querySelector('[data-action=remove]')
  if (upload.isActive && retry === document.activeElement) remove.focus()
  retry.hidden = upload.state !== 'interrupted'
  remove.textContent = upload.isActive ? 'Cancel' : 'Remove'
  remove.setAttribute('aria-label', `${remove.textContent} ${upload.file.name}`)
  retry.setAttribute('aria-label', `Try again: ${upload.file.name}`)
  // Each step is said once; percentages are left to the progress bar.
  if (before !== upload.state && upload.state !== 'done') {
    announce(upload.state === 'sending' ? `Uploading ${upload.file.name}` : `${upload.file.name}: ${words}`)
  }
}

// Files

async function loadFiles () {
  const query = nextCursor === null ? '' : `&cursor=${encodeURIComponent(nextCursor)}`
  const { json } = await call('GET', `/files?limit=24${query}`)
  nextCursor = json.nextCursor ?? null
  at('more').hidden = nextCursor === null
  const items = json.data.filter(file => file.status === 'ready').map(createFileItem)
  at('gallery').append(...items)
  showEmptiness()
  return items
}

function showEmptiness () {
  at('empty').hidden = at('gallery').childElementCount > 0 || nextCursor !== null
}

async function presign (file, disposition) {
  const { json } = await call('POST', '/downloads', { fileId: file.id, disposition })
  return json.download.url
}

function createFileItem (file) {
  const item = clone('file-template')
  item.dataset.id = file.id
  const on = (action, handler) => item.querySelector(`[data-action=${action}]`).addEventListener('click', act(handler))
  const show = () => {
    item.querySelector('.file-name').textContent = file.filename
    item.querySelector('.file-facts').textContent = `${formatSize(file.sizeBytes)} · ${formatDate.format(new Date(file.readyAt ?? file.createdAt))}`
    item.querySelector('img').alt = file.filename
    for (const button of item.querySelectorAll('button')) button.setAttribute('aria-label', `${button.textContent} ${file.filename}`)
  }
  show()
  showPicture(item, file)

  on('rename', async () => {
    const filename = await askName(file.filename)
    if (filename === null || filename === file.filename) return
    const { json } = await call('PATCH', `/files/${file.id}`, { filename })
    file = json.file
    show()
    announce(`Renamed to ${file.filename}.`)
  })

  on('download', async () => {
    const link = document.createElement('a')
    link.href = await presign(file, 'attachment')
    link.click()
    announce(`${file.filename} is being downloaded.`)
  })

  on('delete', async () => {
    if (!await confirmDelete(file.filename)) return
    await call('DELETE', `/files/${file.id}`)
    const neighbour = item.nextElementSibling ?? item.previousElementSibling
    item.remove()
    showEmptiness()
    announce(`${file.filename} is deleted.`);
    (neighbour?.querySelector('[data-action=delete]') ?? at('gallery-title')).focus()
  })

  return item
}

function showPicture (item, file) {
  const image = item.querySelector('img')
  const kind = item.querySelector('.file-kind')
  kind.textContent = kindOf(file.contentType)
  if (!file.contentType.startsWith('image/')) return
  let triesLeft = 2
  const load = async () => {
    triesLeft -= 1
    try {
      image.src = await presign(file, 'inline')
    } catch (problem) {
      if (problem.code === 'UNAUTHENTICATED') sessionExpired()
    }
  }
  image.addEventListener('load', () => { image.hidden = false })
  // A presigned URL that has run out is no reason to show nothing: one fresh one is asked for.
  image.addEventListener('error', () => {
    image.hidden = true
    if (triesLeft > 0) load()
  })
  load()
}

// Dialogs

/** Whether the dialog was confirmed. Not by its `close` event, which comes late and may meet the next question. */
function ask (dialog) {
  dialog.showModal()
  return new Promise(resolve => {
    const listening = new window.AbortController()
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

async function askName (filename) {
  const input = at('rename-name')
  input.value = filename
  const answer = ask(at('rename-dialog'))
  input.focus()
  // The part before the extension is what one wants to replace.
  input.setSelectionRange(0, filename.lastIndexOf('.') > 0 ? filename.lastIndexOf('.') : filename.length)
  return await answer ? input.value.trim() : null
}

function confirmDelete (filename) {
  at('delete-text').textContent = `${filename} will be gone for good.`
  return ask(at('delete-dialog'))
}

// Wiring

at('notice').querySelector('button').addEventListener('click', () => {
  showNotice('')
  const title = at(session ? 'workspace-title' : 'sign-in-title')
  title.focus()
})
at('sign-out').addEventListener('click', act(signOut))
at('policy').addEventListener('change', showPolicy)
at('more').addEventListener('click', act(async () => {
  const [first] = await loadFiles()
  first?.querySelector('button').focus()
}))
at('files').addEventListener('change', event => {
  addFiles([...event.target.files])
  // So that choosing the same file once more is a change again.
  event.target.value = ''
})

// A file dropped beside the box would replace the page.
window.addEventListener('dragover', event => event.preventDefault())
window.addEventListener('drop', event => event.preventDefault())
at('drop').addEventListener('dragover', () => at('drop').classList.add('over'))
at('drop').addEventListener('dragleave', event => {
  if (!at('drop').contains(event.relatedTarget)) at('drop').classList.remove('over')
})
at('drop').addEventListener('drop', event => {
  at('drop').classList.remove('over')
  addFiles([...event.dataTransfer.files])
})
window.addEventListener('beforeunload', event => {
  if ([...uploads.keys()].some(upload => upload.isActive)) event.preventDefault()
})

act(async () => {
  const sub = sessionStorage.getItem('sub')
  await (sub ? signIn(sub) : showSignIn())
})()
