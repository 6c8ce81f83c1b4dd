export interface Spread { readonly median: number, readonly min: number, readonly max: number }

/** @throws {RangeError} without values */
export function spread (values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b)
  const [min, max] = [sorted[0], sorted.at(-1)]
  if (min === undefined || max === undefined) throw new RangeError('There is nothing to take the median of')
  const middle = (sorted.length - 1) / 2
  const median = ((sorted[Math.floor(middle)] as number) + (sorted[Math.ceil(middle)] as number)) / 2
  return { median, min, max }
}

/** `median (min–max)`, each through `format`. */
export function renderSpread ({ median, min, max }: Spread, format: (value: number) => string): string {
  return `${format(median)} (${format(min)}–${format(max)})`
}
