// Loaded into a server: at SIGUSR2 it tells the longest turn of the event loop since the last one, in milliseconds.

let last = performance.now()
let longest = 0

function turn (): void {
  const now = performance.now()
  longest = Math.max(longest, now - last)
  last = now
  setImmediate(turn)
}
turn()

process.on('SIGUSR2', () => {
  process.stdout.write(`turn ${longest}\n`)
  longest = 0
})
