/** A Blob or a File, or whatever can be read in slices like one, such as a file of the disk in a script. */
export interface UploadSource {
  readonly name?: string
  readonly type?: string
  readonly size: number
  /** The bytes from `start` up to, and without, `end`. */
  slice (start: number, end: number): Blob | { arrayBuffer (): Promise<ArrayBuffer> }
}

/** A slice as a body that knows its own length. */
export async function readSlice (source: UploadSource, start: number, end: number): Promise<Blob> {
  const slice = source.slice(start, end)
  return slice instanceof Blob ? slice : new Blob([await slice.arrayBuffer()])
}
