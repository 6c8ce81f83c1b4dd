// The files that are ready.
/* global document */

import { askName, confirmDelete } from './dialogs.js'
import { act, announce, at, clone } from './elements.js'
import { call } from './service.js'
import { formatDate, formatSize, kindOf } from './words.js'

let nextCursor = null

export function clearGallery () {
  at('gallery').replaceChildren()
  nextCursor = null
}

/** Puts a file that has just arrived in front, and returns its item. */
export function addToGallery (file) {
  const item = createFileItem(file)
  item.classList.add('new')
  at('gallery').prepend(item)
  showEmptiness()
  return item
}

/** The next page of files. */
export async function loadFiles () {
  const query = nextCursor === null ? '' : `&cursor=${encodeURIComponent(nextCursor)}`
  const page = await call('GET', `/files?limit=24${query}`)
  nextCursor = page.nextCursor ?? null
  at('more').hidden = nextCursor === null
  const items = page.data.filter(file => file.status === 'ready').map(createFileItem)
  at('gallery').append(...items)
  showEmptiness()
  return items
}

function showEmptiness () {
  at('empty').hidden = at('gallery').childElementCount > 0 || nextCursor !== null
}

async function presign (file, disposition) {
  const { download } = await call('POST', '/downloads', { fileId: file.id, disposition })
  return download.url
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
    const renamed = await call('PATCH', `/files/${file.id}`, { filename })
    file = renamed.file
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
    // Without a picture, the kind of file stands in its place.
    const url = await presign(file, 'inline').catch(() => null)
    if (url !== null) image.src = url
  }
  image.addEventListener('load', () => { image.hidden = false })
  // A presigned URL that has run out is no reason to show nothing: one fresh one is asked for.
  image.addEventListener('error', () => {
    image.hidden = true
    if (triesLeft > 0) load()
  })
  load()
}

at('more').addEventListener('click', act(async () => {
  const [first] = await loadFiles()
  first?.querySelector('button').focus()
}))
