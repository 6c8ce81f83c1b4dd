'use client'

import { useEffect, useState } from 'react'
import type { Presignd, UploadedFile } from '../lib/presignd'

const TRIES = 2

/** A picture out of the private bucket, by a URL that works for some minutes. */
export function Picture ({ presignd, file, alt }: { presignd: Presignd, file: UploadedFile, alt: string }) {
  const [url, setUrl] = useState<string>()
  const [failures, setFailures] = useState(0)

  useEffect(() => {
    let isWanted = true
    presignd.call<{ download: { url: string } }>('POST', '/downloads', { fileId: file.id, disposition: 'inline' })
      .then(({ download }) => { if (isWanted) setUrl(download.url) }, () => {})
    return () => { isWanted = false }
    // With another content the file has the same id, and `updatedAt` is another one.
  }, [presignd, file.id, file.updatedAt, failures])

  if (url === undefined) return <span className='picture' />
  // Not next/image, which would fetch the bytes through this app.
  return <img className='picture' src={url} alt={alt} onError={() => { if (failures + 1 < TRIES) setFailures(failures + 1) }} />
}
