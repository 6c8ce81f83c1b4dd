// tap has ts-node compile the tests and the service, in every process anew. tsx, which the rest here is run by, is twice as fast and
// keeps what it has compiled. Loaded into each test file's process alone: those that a test starts are none of its business.
if (process.argv[1]?.endsWith('.ts')) {
  delete process.env.NODE_OPTIONS
  process.env.TAP_TYPE_STRIP_ONLY = '1'
  await import('tsx')
}
