'use client'

import { useId } from 'react'
import { formatSize } from '../lib/format-size'
import type { Policy } from '../lib/presignd'

interface FileButtonProps {
  readonly label: string
  readonly policy: Policy | undefined
  readonly isDisabled?: boolean
  readonly isMultiple?: boolean
  readonly onFiles: (files: File[]) => void
}

/** A file input that looks like a button. What it accepts is a hint for people alone: presignd looks at every file. */
export function FileButton ({ label, policy, isDisabled = false, isMultiple = false, onFiles }: FileButtonProps) {
  const limits = useId()
  return (
    <>
      <label className='button main'>
        {label}
        <input
          type='file' className='visually-hidden' accept={policy?.accept} multiple={isMultiple} disabled={isDisabled || !policy} aria-describedby={limits}
          onChange={event => {
            onFiles([...event.target.files ?? []])
            // So that choosing the same file once more is a change again.
            event.target.value = ''
          }}
        />
      </label>
      <span id={limits} className='quiet'>{policy && `up to ${formatSize(policy.maxSizeBytes)}`}</span>
    </>
  )
}
