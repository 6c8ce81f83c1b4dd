import { createHmac, randomBytes } from 'node:crypto'
import t from 'tap'
import { createHmacSha256 } from '../../src/object-storage/hmac-sha256.js'

t.test('texts of every length get what node:crypto gives them, with short and long keys', async t => {
  for (const bytes of [0, 1, 32, 64]) {
    const key = randomBytes(bytes)
    const hmac = createHmacSha256(key)
    for (let length = 0; length <= 300; length++) {
      const text = randomBytes(length).toString('base64').slice(0, length)
      if (!t.equal(hmac(text), createHmac('sha256', key).update(text).digest('hex'), `${length} characters, ${bytes} bytes of key ${key.toString('hex')}`)) return
    }
  }
})
