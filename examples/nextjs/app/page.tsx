import { signOut } from './actions'
import { Album } from './album'
import { SignIn } from './sign-in'
import { readSession } from '../lib/session'
import { getSetting } from '../lib/settings'

export default async function Page () {
  const name = await readSession()
  return (
    <>
      <header className='bar'>
        <span className='brand'>Picture album</span>
        {name !== null && (
          <form action={signOut}>
            <span className='quiet'>{name}</span>
            <button className='plain'>Sign out</button>
          </form>
        )}
      </header>
      <main>
        {/* The key: nothing of one user is left in the page when another one signs in. */}
        {name === null ? <SignIn /> : <Album key={name} name={name} presigndUrl={getSetting('PRESIGND_URL')} />}
      </main>
    </>
  )
}
