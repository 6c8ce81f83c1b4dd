/** Looks again and again until it is so: for a minute at most, since a machine that tests share may be slow. */
export async function until (condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000
  while (!await condition()) {
    if (Date.now() > deadline) throw new Error(`Not so after a minute: ${condition}`)
    await new Promise(resolve => setTimeout(resolve, 5))
  }
}
