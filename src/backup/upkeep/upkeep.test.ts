import { describe, expect, it } from 'vitest'
import { SEED } from '../../../test/harness/effort.ts'
import { EMPTY_CHECKSUM, toTXID } from '../../ltx/format/types.ts'
import type { ObjectHead, ObjectInfo } from '../../objectstore/objectstore.ts'
import { MemoryStore } from '../../objectstore/stores/memory.ts'
import { type UploadState, uploadTransactions } from '../ship/upload.ts'
import { PlayedDatabase, seeded } from '../testing.ts'
import { compactUpTo, snapshotOnce } from './upkeep.ts'

/** Counts listings and lookups, and how many lookups ran at once. */
class CountingStore extends MemoryStore {
  lists = 0
  heads: string[] = []
  #under = 0
  atOnce = 0

  override async head(key: string): Promise<ObjectHead | undefined> {
    this.heads.push(key)
    this.atOnce = Math.max(this.atOnce, ++this.#under)
    await new Promise(setImmediate)
    this.#under--
    return super.head(key)
  }

  override list(prefix: string, startAfter?: string): AsyncIterable<ObjectInfo> {
    this.lists++
    return super.list(prefix, startAfter)
  }

  asked(): { lists: number; heads: number } {
    const asked = { lists: this.lists, heads: this.heads.length }
    this.lists = this.atOnce = 0
    this.heads = []
    return asked
  }
}

const NOTHING: UploadState = { txid: toTXID(0), checksum: EMPTY_CHECKSUM, timestampMs: 0, pageSize: 0, commit: 0 }

async function shipped(store: MemoryStore, files: number): Promise<PlayedDatabase> {
  const played = new PlayedDatabase('app.db', seeded(SEED))
  let state = NOTHING
  for (let i = 0; i < files; i++) {
    played.commit(1)
    state = await uploadTransactions(store, played.database, played, state, played.position().txid)
  }
  return played
}

describe(`the cost of upkeep (LTXD_SEED=${SEED})`, () => {
  it('is one listing where there is nothing to do, however many young files there are', async () => {
    const store = new CountingStore()
    const { database } = await shipped(store, 30)
    expect(await compactUpTo(store, database, 3)).toHaveLength(3)
    store.asked()
    expect(await compactUpTo(store, database, 3)).toEqual([])
    expect(store.asked()).toEqual({ lists: 1, heads: 0 })
  })

  it('is one lookup for each new file, several at a time', async () => {
    const store = new CountingStore()
    const { database } = await shipped(store, 30)
    store.asked()
    expect(await compactUpTo(store, database, 1)).toHaveLength(1)
    expect(new Set(store.heads).size).toBe(store.heads.length)
    expect(store.atOnce).toBeGreaterThan(8)
    expect(store.asked()).toEqual({ lists: 1, heads: 30 })
  })

  it('includes no lookup of files that a higher level covers, for a snapshot too', async () => {
    const store = new CountingStore()
    const { database } = await shipped(store, 30)
    expect(await compactUpTo(store, database, 2)).toHaveLength(2)
    store.asked()
    expect(await snapshotOnce(store, database)).toMatchObject({ outcome: 'made' })
    expect(store.heads.filter((key) => key.includes('/0000/'))).toEqual([])
    expect(await snapshotOnce(store, database)).toEqual({ outcome: 'current' })
  })
})
