'use client'

import { useCallback, useEffect, useState } from 'react'
import { FileButton } from './file-button'
import { Picture } from './picture'
import { explain, type Policy, type Presignd, type UploadedFile } from '../lib/presignd'

const UPLOADS_AT_ONCE = 2

interface Sending { readonly key: number, readonly name: string, readonly percent: number, readonly problem: string }
interface FilePage { readonly data: UploadedFile[], readonly nextCursor?: string }

let lastKey = 0

export function Gallery ({ presignd, policy }: { presignd: Presignd, policy: Policy | undefined }) {
  const [files, setFiles] = useState<UploadedFile[]>()
  const [nextCursor, setNextCursor] = useState<string>()
  const [sendings, setSendings] = useState<Sending[]>([])
  const [problem, setProblem] = useState('')

  const load = useCallback(async (cursor?: string) => {
    try {
      const page = await presignd.call<FilePage>('GET', `/files?policy=pictures&limit=24${cursor === undefined ? '' : `&cursor=${encodeURIComponent(cursor)}`}`)
      setFiles((before = []) => cursor === undefined ? page.data : [...before, ...page.data])
      setNextCursor(page.nextCursor)
    } catch (error) {
      setProblem(explain(error))
    }
  }, [presignd])

  useEffect(() => { load() }, [load])

  function change (key: number, changes: Partial<Sending>): void {
    setSendings(before => before.map(sending => sending.key === key ? { ...sending, ...changes } : sending))
  }

  function dismiss (key: number): void {
    setSendings(before => before.filter(sending => sending.key !== key))
  }

  async function send (picture: File, key: number): Promise<void> {
    try {
      const file = await presignd.upload(picture, {
        policy: 'pictures',
        onProgress: (sentBytes, totalBytes) => change(key, { percent: Math.floor(sentBytes / totalBytes * 100) })
      })
      setFiles((before = []) => [file, ...before])
      dismiss(key)
    } catch (error) {
      change(key, { problem: explain(error) })
    }
  }

  async function sendAll (pictures: File[]): Promise<void> {
    const waiting = pictures.map(picture => ({ picture, key: ++lastKey }))
    const added = waiting.map(({ picture, key }) => ({ key, name: picture.name, percent: 0, problem: '' }))
    setSendings(before => [...before, ...added])
    await Promise.all(Array.from({ length: UPLOADS_AT_ONCE }, async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) await send(next.picture, next.key)
    }))
  }

  async function remove (file: UploadedFile): Promise<void> {
    if (!window.confirm(`Delete ${file.filename}?`)) return
    setProblem('')
    try {
      await presignd.call('DELETE', `/files/${file.id}`)
      setFiles((before = []) => before.filter(({ id }) => id !== file.id))
    } catch (error) {
      setProblem(explain(error))
    }
  }

  return (
    <section aria-labelledby='gallery-title'>
      <div className='gallery-head'>
        <h2 id='gallery-title'>Pictures</h2>
        <div className='actions'><FileButton label='Add pictures' policy={policy} isMultiple onFiles={sendAll} /></div>
      </div>
      {problem !== '' && <p role='alert' className='problem'>{problem}</p>}
      <ul className='sendings' aria-label='Uploads'>
        {sendings.map(({ key, name, percent, problem }) => (
          <li key={key} className='card'>
            <span className='name'>{name}</span>
            {problem === ''
              ? <progress max={100} value={percent} aria-label={`Upload of ${name}`} />
              : <><p role='alert' className='problem'>{problem}</p><button className='plain' aria-label={`Dismiss ${name}`} onClick={() => dismiss(key)}>Dismiss</button></>}
          </li>
        ))}
      </ul>
      {files?.length === 0 && <p className='empty quiet'>Nothing here yet. Pictures that you add appear in this place.</p>}
      <ul className='gallery'>
        {files?.map(file => (
          <li key={file.id} className='card' data-file-id={file.id}>
            <Picture presignd={presignd} file={file} alt={file.filename} />
            <span className='name'>{file.filename}</span>
            <button className='plain' aria-label={`Delete ${file.filename}`} onClick={async () => await remove(file)}>Delete</button>
          </li>
        ))}
      </ul>
      {nextCursor !== undefined && <button className='button' onClick={async () => await load(nextCursor)}>Show more</button>}
    </section>
  )
}
