import { expect, it } from 'vitest'
import type { ObjectInfo } from '../../objectstore/objectstore.ts'
import { MemoryStore } from '../../objectstore/stores/memory.ts'
import { ManualClock } from '../testing.ts'
import { Catalog } from './catalog.ts'

const HOUR = 3_600_000

it('a listing is due at the start, so that a node that never runs for long applies retention', async () => {
  const clock = new ManualClock()
  const catalog = new Catalog(new MemoryStore({ now: clock.now }), clock, undefined, 3)
  expect(catalog.isDue(300_000, false)).toBe(false)
  expect(catalog.isDue(300_000, true)).toBe(true)
  await catalog.loadAll(['app.db'])
  clock.advance(300_000)
  expect(catalog.isDue(300_000, true)).toBe(false)
  clock.advance(HOUR)
  expect(catalog.isDue(300_000, true)).toBe(true)
})

it('a long listing ends with its signal', async () => {
  const stop = new AbortController()
  class Endless extends MemoryStore {
    override async *list(): AsyncIterable<ObjectInfo> {
      for (let n = 0; n < 10_000; n++) {
        if (n === 100) stop.abort(new Error('the node stops'))
        if (n > 101) throw new Error('it was read on')
        yield { key: `other.db/0000/${n}`, sizeBytes: 1, lastModifiedMs: 0, storedMs: 0 }
      }
    }
  }
  const catalog = new Catalog(new Endless(), new ManualClock(), undefined, 3)
  await expect(catalog.loadAll(['app.db'], stop.signal)).rejects.toThrow('the node stops')
})
