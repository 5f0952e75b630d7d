import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { SEED } from '../../../test/harness/effort.ts'
import { SnapshotError } from '../../image/errors.ts'
import { type Position, toTXID } from '../../ltx/format/types.ts'
import { DirectoryStore } from '../../objectstore/directory/store.ts'
import { loadHistory } from '../history/history.ts'
import { NEWEST } from '../history/plan.ts'
import { verifyBackup } from '../history/verify.ts'
import { restoreDatabase } from '../restore/restore.ts'
import { PlayedDatabase, seeded, temporaryDirectories } from '../testing.ts'
import { snapshotLive } from './live-snapshot.ts'

const directory = temporaryDirectories()

async function setUp(commits: number) {
  const root = await directory()
  const store = new DirectoryStore(join(root, 'backup'))
  const played = new PlayedDatabase('app.db', seeded(SEED))
  played.commit(commits)
  const filePath = join(root, 'app.db')
  const take = (log: PlayedDatabase = played, attempts = 1) => {
    const options = { temporaryParent: root, minTimestampMs: 0, nowMs: 1, attempts }
    return snapshotLive(store, { name: 'app.db', log, filePath }, options)
  }
  const restored = async () => {
    const out = join(root, `restored-${Math.random()}.db`)
    const result = await restoreDatabase(store, 'app.db', NEWEST, out)
    return { ...result, bytes: await readFile(out) }
  }
  return { root, store, played, filePath, take, restored }
}

describe(`a snapshot of a live database (LTXD_SEED=${SEED})`, () => {
  it('holds the newest state, whether the file is behind, torn, or ahead of where the copy began', async () => {
    const random = seeded(SEED + 1)
    for (let round = 0; round < 20; round++) {
      const { store, played, filePath, take, restored } = await setUp(1 + random(6))
      // The file is known to hold everything up to here; the log begins after it.
      const base = played.image()
      const complete = played.position().txid
      played.commit(1 + random(40))
      played.cutLog(toTXID(complete + 1n))
      const newest = played.image()
      const mixed = Buffer.from(base)
      for (const at of dirtyPages(base, newest, played.pageSize)) {
        // Old, new, half of each, or zeroes: the log holds all of it.
        const choice = random(4)
        const half = played.pageSize >> (choice === 2 ? 1 : 0)
        if (choice === 0) mixed.fill(0, at, at + half)
        else if (choice >= 2) newest.copy(mixed, at, at, at + half)
      }
      await writeFile(filePath, mixed)
      const snapshot = await take()
      expect(snapshot?.position).toEqual(played.position())
      const result = await restored()
      expect(result.verified).toBe(true)
      expect(result.bytes.equals(newest)).toBe(true)
      expect(await verifyBackup(store)).toMatchObject([{ findings: [] }])
    }
  })

  it('includes transactions committed while the file is being copied', async () => {
    const { played, filePath, take, restored } = await setUp(5)
    await writeFile(filePath, played.image())
    const sync = played.sync.bind(played)
    played.sync = async (): Promise<Position> => {
      played.commit(3)
      return sync()
    }
    const snapshot = await take()
    expect(snapshot?.position).toEqual(played.position())
    expect((await restored()).bytes.equals(played.image())).toBe(true)
  })

  it('I4: is not made of a state that a power loss could take back', async () => {
    const { store, played, filePath, take } = await setUp(5)
    await writeFile(filePath, played.image())
    played.durableUpTo = played.position()
    played.commit(3)
    await expect(take()).rejects.toThrow(/I4/)
    expect((await loadHistory(store, 'app.db')).files).toEqual([])
  })

  it('reads a log of any length with few records open at a time', async () => {
    const { played, filePath, take, restored } = await setUp(1)
    await writeFile(filePath, played.image())
    played.commit(300)
    await take()
    expect((await restored()).bytes.equals(played.image())).toBe(true)
  })

  it('works without any record left in the log', async () => {
    const { played, filePath, take, restored } = await setUp(8)
    await writeFile(filePath, played.image())
    played.cutLog(toTXID(9))
    await take()
    expect(await restored()).toMatchObject({ txid: 8n, verified: true, checksum: played.position().checksum })
    expect((await restored()).bytes.equals(played.image())).toBe(true)
  })

  it('rejects a copy that the log does not explain, and succeeds once the file is stable', async () => {
    const { store, played, filePath, take, restored } = await setUp(20)
    const good = played.image()
    const spoilt = Buffer.from(good)
    played.cutLog(toTXID(20))
    // Everything except what transaction 20 changed: page 1 and a few more.
    spoilt.fill(0xee, played.pageSize)
    await writeFile(filePath, spoilt)
    await expect(take()).rejects.toThrow(/its copy has checksum/)
    expect((await loadHistory(store, 'app.db')).files).toEqual([])
    let tries = 0
    const sync = played.sync.bind(played)
    played.sync = async () => {
      if (++tries === 3) await writeFile(filePath, good)
      return sync()
    }
    await take(played, 4)
    expect((await restored()).bytes.equals(good)).toBe(true)
  })

  it('reports a missing database file', async () => {
    const { take } = await setUp(2)
    await expect(take()).rejects.toBeInstanceOf(SnapshotError)
  })

  it('is not made for a database without transactions, or one that was dropped', async () => {
    const empty = await setUp(0)
    expect(await empty.take()).toBeUndefined()
    const { played, take } = await setUp(3)
    played.drop()
    expect(await take()).toBeUndefined()
  })
})

function dirtyPages(before: Buffer, after: Buffer, pageSize: number): number[] {
  const dirty: number[] = []
  for (let at = 0; at + pageSize <= Math.min(before.length, after.length); at += pageSize) {
    if (!before.subarray(at, at + pageSize).equals(after.subarray(at, at + pageSize))) dirty.push(at)
  }
  return dirty
}
