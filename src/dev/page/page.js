// The page: who is signed in, and what they see then.
/* global document, sessionStorage */

import { loadPolicies } from './page/chooser.js'
import { act, announce, at, clone, showNotice } from './page/elements.js'
import { clearExplanations } from './page/explain.js'
import { clearGallery, loadFiles } from './page/gallery.js'
import { call, session, setSession, whenSessionExpires } from './page/service.js'
import { keepUploadsOf, showUnfinished } from './page/upload-list.js'

async function showSignIn () {
  setSession(null)
  sessionStorage.removeItem('sub')
  at('account').hidden = true
  at('workspace').hidden = true
  clearGallery()
  clearExplanations()
  announce('')
  const { data } = await call('GET', '/dev/users')
  at('users').replaceChildren(...data.map(user => {
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
  const { data } = await call('GET', '/dev/users')
  const user = data.find(user => user.sub === sub)
  if (!user) return await showSignIn()
  keepUploadsOf(sub)
  setSession(user)
  sessionStorage.setItem('sub', sub)
  clearGallery()
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
  showUnfinished()
}

async function signOut () {
  // What was going on is listed as unfinished after the next sign-in.
  keepUploadsOf(null)
  await showSignIn()
  at('sign-in-title').focus()
}

whenSessionExpires(() => act(async () => {
  await showSignIn()
  showNotice('Your session has expired. Sign in again to go on where you were.')
  at('sign-in-title').focus()
})())

at('notice').querySelector('button').addEventListener('click', () => {
  showNotice('')
  const title = at(session ? 'workspace-title' : 'sign-in-title')
  title.focus()
})
at('sign-out').addEventListener('click', act(signOut))

act(async () => {
  const sub = sessionStorage.getItem('sub')
  await (sub ? signIn(sub) : showSignIn())
})()
