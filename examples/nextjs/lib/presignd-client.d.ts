/** What this app uses of the types of presignd/client. */
export interface UploadedFile {
  readonly id: string
  readonly filename: string
  readonly contentType: string
  readonly status: 'pending' | 'verifying' | 'scanning' | 'ready' | 'rejected' | 'expired'
  readonly updatedAt: string
}

export interface UploadOptions {
  readonly baseUrl: string
  readonly token: string | (() => string | Promise<string>)
  readonly policy: string
  /** The id of the file whose content this one will replace. */
  readonly replaces?: string
  readonly onProgress?: (sentBytes: number, totalBytes: number) => void
  /** Gives the upload up, and what has arrived is deleted. */
  readonly signal?: AbortSignal
}

/** Why an upload did not come to its end: `code` for programs, `detail` for people. */
export class UploadError extends Error {
  readonly code: string
  readonly status: number
  readonly detail: string
}

export function upload (file: File, options: UploadOptions): Promise<UploadedFile>
