'use client'

import { useEffect, useState } from 'react'
import { Gallery } from './gallery'
import { ProfilePicture } from './profile-picture'
import { createPresignd, explain, type Policy } from '../lib/presignd'

/** All that a user has. The browser talks to presignd and to the bucket itself; this app only gives it a token. */
export function Album ({ name, presigndUrl }: { name: string, presigndUrl: string }) {
  const [presignd] = useState(() => createPresignd(presigndUrl))
  const [policies, setPolicies] = useState<Policy[]>([])
  const [problem, setProblem] = useState('')

  useEffect(() => {
    presignd.call<{ data: Policy[] }>('GET', '/policies').then(({ data }) => setPolicies(data), error => setProblem(explain(error)))
  }, [presignd])

  return (
    <>
      <h1 className='visually-hidden'>The pictures of {name}</h1>
      {problem !== '' && <p role='alert' className='problem'>{problem}</p>}
      <ProfilePicture presignd={presignd} name={name} policy={policies.find(policy => policy.name === 'avatars')} />
      <Gallery presignd={presignd} policy={policies.find(policy => policy.name === 'pictures')} />
    </>
  )
}
