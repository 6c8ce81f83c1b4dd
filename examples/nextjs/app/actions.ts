'use server'

import { redirect } from 'next/navigation'
import { endSession, startSession } from '../lib/session'

const NAME = /^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,39}$/u

/**
 * Takes everybody at their word: put your own sign-in here. All that the rest of the app needs of it is an id of the
 * user that never changes.
 */
export async function signIn (_before: string, form: FormData): Promise<string> {
  const name = String(form.get('name')).normalize('NFC').trim().toLowerCase()
  if (!NAME.test(name)) return 'A name has up to 40 letters, digits, spaces, dots and hyphens.'
  await startSession(name)
  redirect('/')
}

export async function signOut (): Promise<void> {
  await endSession()
  redirect('/')
}
