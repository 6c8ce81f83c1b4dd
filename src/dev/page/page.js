/* global document, window, sessionStorage, URL */

import { call, Problem, session, setSession } from './page/service.js'
import { Upload } from './page/upload.js'
import { explain, findProblem, formatDate, formatSize, kindOf, kindsOf } from './page/words.js'

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
  setSession(null)
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
  setSession(user)
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
  if (upload.problem?.code === 'UNAUTHENTICATED') sessionExpired()
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
