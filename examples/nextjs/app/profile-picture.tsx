'use client'

import { useEffect, useState } from 'react'
import { FileButton } from './file-button'
import { Picture } from './picture'
import { explain, type Policy, type Presignd, type UploadedFile } from '../lib/presignd'

/** One picture per user. Another one takes its place under the same id, and the old one is shown until it is ready. */
export function ProfilePicture ({ presignd, name, policy }: { presignd: Presignd, name: string, policy: Policy | undefined }) {
  const [file, setFile] = useState<UploadedFile>()
  const [percent, setPercent] = useState<number>()
  const [said, setSaid] = useState('')
  const [problem, setProblem] = useState('')
  const isBusy = percent !== undefined

  useEffect(() => {
    presignd.call<{ data: UploadedFile[] }>('GET', '/files?policy=avatars&limit=1').then(({ data }) => setFile(data[0]), error => setProblem(explain(error)))
  }, [presignd])

  async function act (action: () => Promise<string>): Promise<void> {
    setProblem('')
    setSaid('')
    try {
      setSaid(await action())
    } catch (error) {
      setProblem(explain(error))
    } finally {
      setPercent(undefined)
    }
  }

  async function send (picture: File): Promise<string> {
    setPercent(0)
    const uploaded = await presignd.upload(picture, {
      policy: 'avatars',
      replaces: file?.id,
      onProgress: (sentBytes, totalBytes) => setPercent(Math.floor(sentBytes / totalBytes * 100))
    })
    setFile(uploaded)
    return 'Your profile picture is saved.'
  }

  async function remove ({ id }: UploadedFile): Promise<string> {
    await presignd.call('DELETE', `/files/${id}`)
    setFile(undefined)
    return 'Your profile picture is removed.'
  }

  return (
    <section className='card profile' aria-labelledby='profile-title'>
      <div className='face' data-file-id={file?.id}>
        {file ? <Picture presignd={presignd} file={file} alt='Your profile picture' /> : <span aria-hidden='true'>{name[0]}</span>}
      </div>
      <div>
        <h2 id='profile-title'>{name}</h2>
        <div className='actions'>
          <FileButton label={file ? 'Change picture' : 'Choose a picture'} policy={policy} isDisabled={isBusy} onFiles={([picture]) => { if (picture) act(() => send(picture)) }} />
          {file && <button className='plain' disabled={isBusy} onClick={async () => await act(() => remove(file))}>Remove</button>}
        </div>
        {isBusy && <progress max={100} value={percent} aria-label='Upload of the profile picture' />}
        {problem !== '' && <p role='alert' className='problem'>{problem}</p>}
        <p role='status' className='visually-hidden'>{said}</p>
      </div>
    </section>
  )
}
