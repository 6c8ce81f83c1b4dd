import t from 'tap'
import { newId } from '../src/new-id.js'

const timeOf = (id: string): number => parseInt(id.slice(0, 8) + id.slice(9, 13), 16)

t.test('an id is a UUID of version 7 that tells its millisecond', async t => {
  const times = [0, 1, 1_795_000_000_000, 1_795_000_000_001, 1_795_000_000_000, 2 ** 48 - 1]
  for (const time of times) {
    const id = newId(time)
    t.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    t.equal(timeOf(id), time)
  }
  t.ok(Math.abs(timeOf(newId()) - Date.now()) < 5_000)
})

t.test('ids of one millisecond differ in their 74 random bits alone, and later ones come behind', async t => {
  const ids = Array.from({ length: 1000 }, () => newId(1_795_000_000_000))
  t.equal(new Set(ids).size, ids.length)
  t.equal(new Set(ids.map(id => id.slice(0, 15))).size, 1)
  const later = newId(1_795_000_000_001)
  for (const id of ids) if (id >= later) t.fail(`${id} does not come before ${later}`)
})
