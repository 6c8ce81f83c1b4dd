// Where files are chosen or dropped, and under which policy.
/* global document, window */

import { at } from './elements.js'
import { call } from './service.js'
import { addUploads } from './upload-list.js'
import { formatSize, kindsOf } from './words.js'

let policies = []

export async function loadPolicies () {
  const { data } = await call('GET', '/policies')
  policies = data
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
  document.querySelector('.drop-action').textContent = isPicture ? 'Choose pictures' : 'Choose files'
}

function addFiles (files) {
  const policy = chosenPolicy()
  if (policy) addUploads(files, policy)
}

at('policy').addEventListener('change', showPolicy)
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
