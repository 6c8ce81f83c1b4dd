'use client'

import { useActionState } from 'react'
import { signIn } from './actions'

export function SignIn () {
  const [problem, action, isPending] = useActionState(signIn, '')
  return (
    <form action={action} className='card sign-in'>
      <h1>Whose pictures?</h1>
      <p className='quiet'>A name is all that this example asks for. Each name has its own pictures.</p>
      <label htmlFor='name'>Your name</label>
      <input id='name' name='name' required maxLength={40} autoComplete='username' autoCapitalize='none' spellCheck={false} />
      {problem !== '' && <p role='alert' className='problem'>{problem}</p>}
      <button className='main' disabled={isPending}>Sign in</button>
    </form>
  )
}
