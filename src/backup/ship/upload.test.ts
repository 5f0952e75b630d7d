import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { SEED } from '../../../test/harness/effort.ts'
import { EMPTY_CHECKSUM, toTXID, type TXID } from '../../ltx/format/types.ts'
import { DirectoryStore } from '../../objectstore/directory/store.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { BackupConflictError, BackupDivergedError, DatabaseDroppedError } from '../history/errors.ts'
import { loadHistory, loadMetadata } from '../history/history.ts'
import { fileKey } from '../history/layout.ts'
import { DEFAULT_SCHEDULE } from '../history/levels.ts'
import { NEWEST, restorablePoints } from '../history/plan.ts'
import { backupPosition } from '../history/position.ts'
import { verifyBackup } from '../history/verify.ts'
import { restoreDatabase } from '../restore/restore.ts'
import { DAMAGES, PlayedDatabase, seeded, temporaryDirectories } from '../testing.ts'
import { compactLevel, snapshotFromBackup } from '../upkeep/compaction.ts'
import { applyRetention } from '../upkeep/retention.ts'
import { uploadNewestAlone, type UploadState, uploadTransactions } from './upload.ts'

const directory = temporaryDirectories()
const ZERO: UploadState = { txid: toTXID(0), checksum: EMPTY_CHECKSUM, timestampMs: 0, pageSize: 0, commit: 0 }

async function setUp(name = 'app.db') {
  const root = await directory()
  const played = new PlayedDatabase(name, seeded(SEED))
  const later = { ms: 0 }
  const store = new DirectoryStore(join(root, 'backup'), { now: () => played.nowMs + later.ms })
  const upload = (from: UploadState, to = played.position().txid) => uploadTransactions(store, name, played, from, to)
  return { root, store, played, upload, later }
}

/** Restores every restorable point and compares it with the database's state then. */
async function expectRestorable(store: ObjectStore, played: PlayedDatabase, root: string): Promise<TXID[]> {
  const out = join(root, 'restored')
  await mkdir(out, { recursive: true })
  const points = restorablePoints(await loadHistory(store, played.database))
  for (const [i, txid] of points.entries()) {
    const path = join(out, `${Math.random()}-${i}.db`)
    const result = await restoreDatabase(store, played.database, { kind: 'txid', txid }, path)
    expect(result.checksum).toBe(played.checksums.get(txid))
    expect(result.verified).toBe(true)
    expect((await readFile(path)).equals(played.states.get(txid)!), `state after ${txid}`).toBe(true)
  }
  return points
}

describe(`an upload (LTXD_SEED=${SEED})`, () => {
  it('ships one file without checksums, with the checksums in its metadata', async () => {
    const { root, store, played, upload } = await setUp()
    played.commit(5)
    const state = await upload(ZERO)
    expect(state).toMatchObject({ txid: 5n, checksum: played.checksums.get(toTXID(5)) })
    const { files } = await loadHistory(store, 'app.db')
    expect(files.map(({ level, min, max }) => [level, min, max])).toEqual([[0, 1n, 5n]])
    expect(files.map(({ timestampMs }) => timestampMs)).toEqual([played.times.get(toTXID(5))])
    expect(await loadMetadata(store, files[0]!)).toEqual({
      timestampMs: played.times.get(toTXID(5)),
      preApplyChecksum: EMPTY_CHECKSUM,
      postApplyChecksum: played.checksums.get(toTXID(5)),
      pageSize: 512,
      commit: played.pages.length,
      term: 0n,
    })
    expect(await expectRestorable(store, played, root)).toEqual([5n])
  })

  it('gives the newest transaction a file of its own where another program may continue', async () => {
    const { root, store, played, upload } = await setUp()
    played.commit(5)
    const state = await upload(ZERO)
    const alone = await uploadNewestAlone(store, 'app.db', played, state)
    const names = async () => (await loadHistory(store, 'app.db')).files.map(({ min, max }) => `${min}-${max}`)
    expect(await names()).toEqual(['1-4', '5-5'])
    // It is there, so nothing is put again.
    expect(await uploadNewestAlone(store, 'app.db', played, alone)).toBe(alone)
    played.commit(2)
    await upload(alone)
    expect(await names()).toEqual(['1-4', '5-5', '6-7'])
    await compactLevel(store, 'app.db', 1)
    await expectRestorable(store, played, root)
    expect(await verifyBackup(store)).toMatchObject([{ findings: [] }])
  })

  it('continues from any position in any pieces, and every file boundary restores the exact state', async () => {
    const { root, store, played, upload, later } = await setUp('tenants/ä b.db')
    const random = seeded(SEED + 1)
    let state = ZERO
    for (let round = 0; round < 12; round++) {
      played.nowMs += 1000
      played.commit(1 + random(6))
      state = await upload(state)
      if (round % 3 === 2) await compactLevel(store, played.database, 1)
      if (round % 6 === 5) await compactLevel(store, played.database, 2)
      if (round === 7) await snapshotFromBackup(store, played.database)
    }
    const points = await expectRestorable(store, played, root)
    expect(points.at(-1)).toBe(played.position().txid)
    expect(await verifyBackup(store)).toMatchObject([{ database: 'tenants/ä b.db', findings: [] }])

    later.ms = 48 * 3_600_000
    await applyRetention(store, played.database, DEFAULT_SCHEDULE.retention, played.nowMs + later.ms)
    const kept = await expectRestorable(store, played, root)
    expect(kept.at(-1)).toBe(played.position().txid)
    expect(kept.length).toBeLessThan(points.length)
    expect(await verifyBackup(store)).toMatchObject([{ findings: [] }])
  })

  it('may be repeated: an existing object with the same checksum counts as shipped', async () => {
    const { store, played, upload } = await setUp()
    played.commit(3)
    await upload(ZERO)
    await expect(upload(ZERO)).resolves.toMatchObject({ txid: 3n })
    expect((await loadHistory(store, 'app.db')).files).toHaveLength(1)
  })

  it('I4: ships nothing that a power loss could take back', async () => {
    const { store, played, upload } = await setUp()
    played.commit(3)
    played.durableUpTo = played.position()
    const state = await upload(ZERO)
    played.commit(2)
    await expect(upload(state)).rejects.toThrow(/I4/)
    expect((await loadHistory(store, 'app.db')).files.at(-1)?.max).toBe(3n)
    played.durableUpTo = played.position()
    await expect(upload(state)).resolves.toMatchObject({ txid: 5n })
  })

  it('puts the newest transaction alone at a clean stop, and goes on where one was killed within that', async () => {
    const { root, store, played, upload } = await setUp()
    played.commit(5)
    const state = await upload(ZERO)
    const together = { ...state.file!, key: fileKey(store.layout, 'app.db', state.file!) }
    const bytes = await readFile(join(root, 'backup', together.key))
    const { metadata = {} } = (await store.head(together.key)) ?? {}
    const keys = async () => (await loadHistory(store, 'app.db')).files.map(({ min, max }) => `${min}-${max}`)
    const alone = () => uploadNewestAlone(store, 'app.db', played, state)
    await expect(alone()).resolves.toMatchObject({ txid: 5n, file: { min: 5n, max: 5n } })
    expect(await keys()).toEqual(['1-4', '5-5'])
    await store.put(together.key, bytes, { metadata })
    await expect(alone()).resolves.toMatchObject({ txid: 5n, file: { min: 5n, max: 5n } })
    expect(await keys()).toEqual(['1-4', '5-5'])
    // What is left of that stop is damaged.
    await store.put(together.key, bytes, { metadata })
    const last = fileKey(store.layout, 'app.db', { level: 0, min: toTXID(5), max: toTXID(5) })
    DAMAGES['a flipped bit']!(join(root, 'backup', last))
    await expect(alone()).resolves.toEqual(state)
    expect(await keys()).toEqual(['1-4', '1-5', '5-5'])
  })

  it('never overwrites an object of another history (I7)', async () => {
    const { store, played, upload } = await setUp()
    played.commit(2)
    await upload(ZERO)
    const other = new PlayedDatabase('app.db', seeded(SEED + 7))
    other.commit(2)
    const attempt = uploadTransactions(store, 'app.db', other, ZERO, toTXID(2))
    await expect(attempt).rejects.toBeInstanceOf(BackupConflictError)
    await expect(attempt).rejects.toThrow(/different content/)
    const state = { ...ZERO, txid: toTXID(1), checksum: played.checksums.get(toTXID(1)) }
    const continued = uploadTransactions(store, 'app.db', other, state, toTXID(2))
    await expect(continued).rejects.toBeInstanceOf(BackupDivergedError)
    expect(await verifyBackup(store)).toMatchObject([{ findings: [] }])
  })

  it('never decreases timestamps, whatever the clock does', async () => {
    const { store, played, upload } = await setUp()
    played.commit(2)
    const state = await upload(ZERO)
    played.nowMs -= 3_600_000
    played.commit(2)
    await upload(state)
    const times = (await loadHistory(store, 'app.db')).files.map(({ timestampMs }) => timestampMs)
    expect(times).toEqual([...times].sort((a, b) => a - b))
    expect(await verifyBackup(store)).toMatchObject([{ findings: [] }])
  })

  it('divides a long backlog into files of bounded inputs, without a hole', async () => {
    const { root, store, played, upload } = await setUp()
    played.commit(600)
    await upload(ZERO)
    const { files } = await loadHistory(store, 'app.db')
    expect(files.map(({ min, max }) => [min, max])).toEqual([
      [1n, 256n],
      [257n, 512n],
      [513n, 600n],
    ])
    await expectRestorable(store, played, root)
  })

  it('records a drop by a marker, and continues the TXIDs when the database is created again', async () => {
    const { root, store, played, upload } = await setUp()
    played.commit(3)
    played.nowMs += 1000
    played.drop()
    const dropped = await upload(ZERO)
    expect(await backupPosition(store, await loadHistory(store, 'app.db'))).toMatchObject({
      txid: 4n,
      state: 'dropped',
    })
    await expect(restoreDatabase(store, 'app.db', NEWEST, join(root, 'x.db'))).rejects.toBeInstanceOf(
      DatabaseDroppedError,
    )
    expect(await expectRestorable(store, played, root)).toEqual([3n])
    expect(await verifyBackup(store)).toMatchObject([{ dropped: true, findings: [] }])

    played.nowMs += 1000
    played.commit(3)
    await upload(dropped)
    await compactLevel(store, 'app.db', 1)
    expect(await expectRestorable(store, played, root)).toEqual([3n, 5n, 7n])
    expect(await verifyBackup(store)).toMatchObject([{ dropped: false, findings: [] }])
    const target = { kind: 'timestamp', timestampMs: played.times.get(toTXID(4))! + 1 } as const
    await expect(restoreDatabase(store, 'app.db', target, join(root, 'y.db'))).rejects.toThrow(/was dropped/)
  })

  it('begins anew where the page size changes, and compaction never crosses that', async () => {
    const { root, store, played, upload } = await setUp()
    played.commit(4)
    played.changePageSize(1024)
    played.commit(3)
    await upload(ZERO)
    await compactLevel(store, 'app.db', 1)
    await compactLevel(store, 'app.db', 2)
    const level2 = (await loadHistory(store, 'app.db')).files.filter(({ level }) => level === 2)
    expect(level2.map(({ min, max }) => [min, max])).toEqual([
      [1n, 4n],
      [5n, 8n],
    ])
    expect(await expectRestorable(store, played, root)).toEqual([4n, 5n, 8n])
    expect(await verifyBackup(store)).toMatchObject([{ findings: [] }])
  })
})
