import { describe, expect, it } from 'vitest'
import { SEED } from '../../../test/harness/effort.ts'
import { toTXID } from '../../ltx/format/types.ts'
import type { ObjectStore, PutOptions } from '../../objectstore/objectstore.ts'
import { MemoryStore } from '../../objectstore/stores/memory.ts'
import { loadHistory } from '../history/history.ts'
import { PlayedDatabase, seeded } from '../testing.ts'
import { setAside } from './set-aside.ts'
import { uploadTransactions } from './upload.ts'

const ZERO = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }

describe('setting an object aside', () => {
  it('may be repeated, and never removes an object that it has not copied', async () => {
    const store = new MemoryStore()
    const played = new PlayedDatabase('app.db', seeded(SEED))
    const keys = async () => {
      const found: string[] = []
      for await (const { key } of store.list('')) found.push(key)
      return found
    }
    played.commit(1)
    await uploadTransactions(store, 'app.db', played, ZERO, toTXID(1), { term: 3n })
    const [key = ''] = await keys()
    const before = await store.head(key)
    const failing: ObjectStore = Object.assign(Object.create(store) as ObjectStore, {
      head: (name: string) => store.head(name),
      get: (name: string) => store.get(name),
      put: (name: string, body: Uint8Array, options: PutOptions) => store.put(name, body, options),
      delete: () => Promise.reject(new Error('cut off')),
    })
    await expect(setAside(failing, key)).rejects.toThrow('cut off')
    expect(await keys()).toHaveLength(2)
    const kept = await setAside(store, key)
    expect(await keys()).toEqual([kept])
    const { metadata, sizeBytes } = (await store.head(kept!))!
    expect({ metadata, sizeBytes }).toEqual({ metadata: before!.metadata, sizeBytes: before!.sizeBytes })
    expect(await setAside(store, key)).toBeUndefined()
    expect(await loadHistory(store, 'app.db')).toEqual({ database: 'app.db', files: [], markers: [] })
  })
})
