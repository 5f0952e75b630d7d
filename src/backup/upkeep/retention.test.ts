import { expect, test } from 'vitest'
import { SEED } from '../../../test/harness/effort.ts'
import { EMPTY_CHECKSUM, toTXID } from '../../ltx/format/types.ts'
import { MemoryStore } from '../../objectstore/stores/memory.ts'
import { filesOfLevel, loadHistory } from '../history/history.ts'
import { SNAPSHOT_LEVEL } from '../history/layout.ts'
import { type UploadState, uploadTransactions } from '../ship/upload.ts'
import { PlayedDatabase, seeded } from '../testing.ts'
import { applyRetention } from './retention.ts'
import { compactUpTo, snapshotOnce } from './upkeep.ts'

const DATABASE = 'app.db'
const NOTHING: UploadState = { txid: toTXID(0), checksum: EMPTY_CHECKSUM, timestampMs: 0, pageSize: 0, commit: 0 }
const POLICY = { snapshotRetentionMs: 0, level0RetentionMs: 0 }

class CountingStore extends MemoryStore {
  reads = 0

  /** All that is stored in a test is older. */
  override clockMs() {
    return Promise.resolve(later())
  }

  override get(...args: Parameters<MemoryStore['get']>) {
    this.reads++
    return super.get(...args)
  }
}

/** A backup with three snapshots, and levels 0 and 1 between them. */
async function backup() {
  const store = new CountingStore()
  const played = new PlayedDatabase(DATABASE, seeded(SEED))
  let state = NOTHING
  for (let i = 0; i < 3; i++) {
    for (let j = 0; j < 3; j++) {
      played.commit(1)
      state = await uploadTransactions(store, DATABASE, played, state, played.position().txid)
    }
    await compactUpTo(store, DATABASE, 1)
    await snapshotOnce(store, DATABASE)
  }
  const history = await loadHistory(store, DATABASE)
  return { store, history, snapshots: filesOfLevel(history, SNAPSHOT_LEVEL) }
}

const later = () => Date.now() + 1_000
const keys = async (store: MemoryStore) => (await loadHistory(store, DATABASE)).files.map(({ key }) => key)

async function content(store: MemoryStore, key: string): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of await store.get(key)) chunks.push(Uint8Array.from(chunk))
  return Buffer.concat(chunks)
}

test('leans on the newest snapshot once it was read whole, and reads it no second time', async () => {
  const { store, snapshots } = await backup()
  const { files } = await applyRetention(store, DATABASE, POLICY, later())
  expect(files.length).toBeGreaterThan(3)
  expect((await keys(store)).filter((key) => snapshots.some((it) => it.key === key))).toEqual([snapshots[2]?.key])
  store.reads = 0
  await applyRetention(store, DATABASE, POLICY, later())
  expect(store.reads).toBe(0)
})

test.each<[string, (bytes: Uint8Array) => Uint8Array]>([
  ['emptied', () => new Uint8Array()],
  ['cut', (bytes) => bytes.subarray(0, bytes.length / 2)],
  ['damaged', (bytes) => bytes.map((byte, i) => (i === bytes.length >> 1 ? byte ^ 1 : byte))],
])('a newest snapshot that is %s lets the chain under the one before stay', async (_, damage) => {
  const { store, history, snapshots } = await backup()
  const [, second, third] = snapshots
  if (second === undefined || third === undefined) throw new Error('there are three')
  const { metadata = {} } = (await store.head(third.key)) ?? {}
  await store.put(third.key, damage(await content(store, third.key)), { metadata })
  await applyRetention(store, DATABASE, POLICY, later())
  const left = await keys(store)
  expect(left).toContain(second.key)
  // All that continues it, on some level.
  const beyond = history.files.filter(({ level, max }) => level === 1 && max > second.max)
  for (const { key } of beyond) expect(left).toContain(key)
})

test('a listing from which the newest state cannot be restored lets nothing go, and is looked at again', async () => {
  const { store, history, snapshots } = await backup()
  const hidden = history.files.filter(({ level, min }) => level !== SNAPSHOT_LEVEL && min >= 4n && min <= 6n)
  const files = history.files.filter((file) => !hidden.includes(file) && file !== snapshots[1] && file !== snapshots[2])
  const now = later()
  const plan = await applyRetention(store, DATABASE, POLICY, now, { history: { ...history, files } })
  expect([plan.files, plan.markers]).toEqual([[], []])
  expect(plan.nextMs).toBeGreaterThan(now)
  expect(await keys(store)).toEqual(history.files.map(({ key }) => key))
})

test('a dry run says what would go, and deletes nothing', async () => {
  const { store, history } = await backup()
  const { files } = await applyRetention(store, DATABASE, POLICY, later(), { dryRun: true })
  expect(files.length).toBeGreaterThan(3)
  expect(await keys(store)).toEqual(history.files.map(({ key }) => key))
})
