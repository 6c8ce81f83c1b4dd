const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']

export function formatSize (bytes: number): string {
  const power = bytes < 1024 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), UNITS.length - 1)
  return `${Math.round(bytes / 1024 ** power * 10) / 10} ${UNITS[power]}`
}
