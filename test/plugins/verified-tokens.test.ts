import t from 'tap'
import { createVerifiedTokens } from '../../src/plugins/verified-tokens.js'

const START = Date.parse('2026-01-01T00:00:00Z')

function begin ({ clockToleranceSeconds = 0 } = {}) {
  const clock = { milliseconds: START }
  const tokens = createVerifiedTokens<string>({ now: () => new Date(clock.milliseconds), clockToleranceSeconds })
  const remember = (token: string, seconds = 600): void => tokens.remember(token, { user: `user of ${token}`, exp: START / 1000 + seconds, key: null })
  return { clock, tokens, remember }
}

t.test('T5: a token is known until its exp, and the tolerance beyond', async t => {
  for (const clockToleranceSeconds of [0, 7]) {
    const { clock, tokens, remember } = begin({ clockToleranceSeconds })
    remember('a', 30)
    clock.milliseconds = START + (30 + clockToleranceSeconds) * 1000 - 1
    t.equal(tokens.find('a')?.user, 'user of a')
    clock.milliseconds += 1
    t.equal(tokens.find('a'), undefined)
  }
})

t.test('T5: a token is known for a minute at most, however often it is used', async t => {
  const { clock, tokens, remember } = begin()
  remember('a')
  for (clock.milliseconds = START; clock.milliseconds < START + 60_000; clock.milliseconds += 1000) t.ok(tokens.find('a'))
  t.equal(tokens.find('a'), undefined)
})

t.test('only the very same token is known', async t => {
  const { tokens, remember } = begin()
  remember('Bearer a.b.c')
  for (const other of ['bearer a.b.c', 'Bearer a.b.d', 'Bearer a.b.', 'a.b.c', '']) t.equal(tokens.find(other), undefined)
  tokens.forget('Bearer a.b.c')
  t.equal(tokens.find('Bearer a.b.c'), undefined)
})

t.test('the oldest of more than a thousand tokens are forgotten, and long ones are not kept at all', async t => {
  const { tokens, remember } = begin()
  for (let index = 0; index <= 1000; index++) remember(`token ${index}`)
  t.equal(tokens.find('token 0'), undefined)
  t.ok(tokens.find('token 1'))
  t.ok(tokens.find('token 1000'))
  remember('a'.repeat(4097))
  t.equal(tokens.find('a'.repeat(4097)), undefined)
})
