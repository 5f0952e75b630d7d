import { cp, rm, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { SEED } from '../../../test/harness/effort.ts'
import { EMPTY_CHECKSUM, toTXID, type TXID } from '../../ltx/format/types.ts'
import { DirectoryStore } from '../../objectstore/directory/store.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { MemoryStore } from '../../objectstore/stores/memory.ts'
import { restoreDatabase } from '../restore/restore.ts'
import { type UploadState, uploadTransactions } from '../ship/upload.ts'
import { PlayedDatabase, seeded, temporaryDirectories } from '../testing.ts'
import { compactLevel } from '../upkeep/compaction.ts'
import { applyRetention } from '../upkeep/retention.ts'
import { ClockSkewError, DatabaseDroppedError } from './errors.ts'
import { loadHistory } from './history.ts'
import { DEFAULT_SCHEDULE } from './levels.ts'

const SECOND = 1000
const HOUR = 3600 * SECOND
const ZERO: UploadState = { txid: toTXID(0), checksum: EMPTY_CHECKSUM, timestampMs: 0, pageSize: 0, commit: 0 }

const directory = temporaryDirectories()
let root: string
let played: PlayedDatabase
/** Of the store. The database's own clock is `played.nowMs`. */
let nowMs: number
let state: UploadState

beforeEach(async () => {
  root = await directory()
  played = new PlayedDatabase('app.db', seeded(SEED))
  nowMs = played.nowMs
  state = ZERO
})

/** Time passes for all, then a transaction is committed and shipped. Returns when, by the store's clock. */
async function commit(store: ObjectStore): Promise<number> {
  nowMs += 10 * SECOND
  played.nowMs += 10 * SECOND
  played.commit()
  await ship(store)
  return nowMs
}

async function ship(store: ObjectStore): Promise<void> {
  state = await uploadTransactions(store, 'app.db', played, state, played.position().txid)
}

async function contentOf(store: ObjectStore, key: string): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of await store.get(key)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function copyWithoutMetadata(store: ObjectStore): Promise<ObjectStore> {
  const copy = new MemoryStore({ now: () => nowMs + 1 })
  for await (const { key } of store.list('')) await copy.put(key, await contentOf(store, key))
  return copy
}

let restored = 0
async function restoreAt(store: ObjectStore, timestampMs: number): Promise<{ txid: TXID; doubt?: string }> {
  const path = join(root, `restored-${++restored}.db`)
  return restoreDatabase(store, 'app.db', { kind: 'timestamp', timestampMs }, path)
}

describe(`a moment (LTXD_SEED=${SEED})`, () => {
  it('after a drop does not restore the database, however late the drop was shipped', async () => {
    const store = new MemoryStore({ now: () => nowMs })
    const alive = await commit(store)
    played.nowMs += 10 * SECOND
    const droppedMs = played.nowMs
    played.drop()
    nowMs += HOUR
    await ship(store)
    expect((await restoreAt(store, alive + SECOND)).txid).toBe(1n)
    for (const after of [SECOND, HOUR / 2, HOUR - SECOND])
      await expect(restoreAt(store, droppedMs + after)).rejects.toBeInstanceOf(DatabaseDroppedError)
  })

  it('is found in a directory that was copied without its times', async () => {
    const store = new DirectoryStore(join(root, 'backup'))
    const times = [await commit(store), await commit(store), await commit(store)]
    const copy = join(root, 'copy')
    await cp(join(root, 'backup'), copy, { recursive: true })
    for (const { key } of (await loadHistory(store, 'app.db')).files) await utimes(join(copy, key), 1, 1)
    const copied = new DirectoryStore(copy)
    for (const [i, ms] of times.entries()) expect((await restoreAt(copied, ms + SECOND)).txid).toBe(BigInt(i + 1))
  })

  it('is found in a bucket that was copied without its metadata', async () => {
    const store = new MemoryStore({ now: () => nowMs })
    const times = [await commit(store), await commit(store)]
    const copied = await copyWithoutMetadata(store)
    for (const [i, ms] of times.entries()) expect((await restoreAt(copied, ms + SECOND)).txid).toBe(BigInt(i + 1))
  })

  it('after a spell of a clock that was ahead restores what was committed by then, and says so', async () => {
    const store = new MemoryStore({ now: () => nowMs })
    await commit(store)
    played.nowMs += HOUR
    await commit(store)
    played.nowMs -= HOUR
    const times = [await commit(store), await commit(store)]
    for (const [i, ms] of times.entries()) {
      const { txid, doubt } = await restoreAt(store, ms + SECOND)
      expect(txid).toBe(BigInt(i + 3))
      expect(doubt).toMatch(/a clock was ahead.*--txid with one of 0000000000000002 to/)
    }
    expect((await restoreAt(store, nowMs + 2 * HOUR)).doubt).toBeUndefined()
  })

  it('is found beside a header whose time no date has', async () => {
    const store = new MemoryStore({ now: () => nowMs })
    const ms = await commit(store)
    played.nowMs = 9e15
    played.commit()
    await ship(store)
    const copied = await copyWithoutMetadata(store)
    const { txid, doubt } = await restoreAt(copied, ms + 2 * SECOND)
    expect(txid).toBe(2n)
    expect(doubt).toMatch(/a time of up to 9999-12-31T23:59:59.999Z/)
  })

  it('is in doubt where transactions have one time, because only merged files are left of a clock that was ahead', async () => {
    const store = new MemoryStore({ now: () => nowMs })
    await commit(store)
    played.nowMs += HOUR
    await commit(store)
    played.nowMs -= HOUR
    const asked = (await commit(store)) + SECOND
    for (let i = 0; i < 3; i++) await commit(store)
    nowMs += HOUR
    const level0 = (await loadHistory(store, 'app.db')).files.filter(({ min }) => min > 1n)
    for (const { key, min, max } of level0) {
      // As merged much later: the time of storing tells nothing any more.
      const content = await contentOf(store, key)
      const head = await store.head(key)
      await store.delete([key])
      expect(min).toBe(max)
      await store.put(key, content, { metadata: head?.metadata ?? {} })
    }
    const { txid, doubt } = await restoreAt(store, asked)
    expect(txid).toBe(1n)
    expect(doubt).toMatch(/one and the same time.*--txid with one of 0000000000000002 to 0000000000000006/)
  })
})

describe('the clock of the machine', () => {
  it.each([HOUR, -HOUR])('deletes nothing while it is %i ms off the clock of the store', async (offMs) => {
    const store = new MemoryStore({ now: () => nowMs })
    for (let i = 0; i < 4; i++) await commit(store)
    await compactLevel(store, 'app.db', 1)
    nowMs += 2 * HOUR
    const { files } = await loadHistory(store, 'app.db')
    const retain = (ms: number) => applyRetention(store, 'app.db', DEFAULT_SCHEDULE.retention, ms)
    await expect(retain(nowMs + offMs)).rejects.toBeInstanceOf(ClockSkewError)
    expect((await loadHistory(store, 'app.db')).files).toEqual(files)
    expect((await retain(nowMs)).files.length).toBeGreaterThan(0)
  })

  it('does not make the files of a leader that may be deposed old enough to merge', async () => {
    const store = new MemoryStore({ now: () => nowMs })
    played.commit(2)
    await uploadTransactions(store, 'app.db', played, ZERO, toTXID(2), { term: 3n })
    expect(await compactLevel(store, 'app.db', 1, { nowMs: nowMs + HOUR })).toEqual([])
    nowMs += HOUR
    expect(await compactLevel(store, 'app.db', 1, { nowMs })).toHaveLength(1)
  })

  it('is compared with that of a directory', async () => {
    const store = new DirectoryStore(join(root, 'backup'))
    expect(await store.clockMs()).toBeUndefined()
    await store.put('x', Buffer.from('x'))
    expect(Math.abs(((await store.clockMs()) ?? 0) - Date.now())).toBeLessThan(60 * SECOND)
    await rm(join(root, 'backup'), { recursive: true })
  })
})
