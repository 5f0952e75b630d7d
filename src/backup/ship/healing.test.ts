import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { SEED } from '../../../test/harness/effort.ts'
import { DirectoryStore } from '../../objectstore/directory/store.ts'
import { loadHistory } from '../history/history.ts'
import { NEWEST, planRestore } from '../history/plan.ts'
import { restoreDatabase } from '../restore/restore.ts'
import { DAMAGES, ManualClock, PlayedDatabase, seeded, silent, temporaryDirectories } from '../testing.ts'
import { BackupService } from './service.ts'

const directory = temporaryDirectories()
const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

/** A node that ships, compacts at 30 s and 5 min, and has made its first snapshot. */
async function running() {
  const root = await directory()
  const clock = new ManualClock()
  const store = new DirectoryStore(join(root, 'backup'), { now: clock.now })
  const played = new PlayedDatabase('app.db', seeded(SEED))
  const filePath = join(root, 'app.db')
  const service = new BackupService({ store, logger: silent, clock, temporaryParent: root })
  const commit = async (count: number) => {
    for (let i = 0; i < count; i++) {
      played.nowMs = clock.now()
      played.commit()
      writeFileSync(filePath, played.image())
      clock.advance(1000)
      await service.sync('app.db')
    }
  }
  played.commit()
  writeFileSync(filePath, played.image())
  service.add({ name: 'app.db', log: played, filePath })
  service.start()
  cleanups.push(() => service.stop({ drainMs: 0 }))
  const filesOf = async (level: number) => (await loadHistory(store, 'app.db')).files.filter((it) => it.level === level)
  await vi.waitFor(async () => expect(await filesOf(9)).toHaveLength(1), 5000)
  await commit(6)
  const pathOf = (key: string) => join(root, 'backup', key)
  let restores = 0
  const restored = async () => {
    const out = join(root, `restored-${++restores}.db`)
    const { avoided } = await restoreDatabase(store, 'app.db', NEWEST, out)
    expect(readFileSync(out).equals(played.image())).toBe(true)
    return avoided
  }
  return { root, store, played, clock, service, commit, filesOf, pathOf, restored }
}

const OF_OBJECTS: Readonly<Record<string, (path: string) => void>> = {
  ...DAMAGES,
  'been deleted': (path) => rmSync(path),
}

describe(`a running node (LTXD_SEED=${SEED})`, () => {
  for (const [what, damage] of Object.entries(OF_OBJECTS)) {
    it(`heals its backup when an object of level 0 has ${what}, and goes on`, async () => {
      const { clock, service, commit, filesOf, pathOf, restored, root } = await running()
      const { key } = (await filesOf(0)).at(-2)
      damage(pathOf(key))
      await expect(restored()).rejects.toThrow()
      clock.advance(30_000)
      await vi.waitFor(async () => expect(await restored()).toEqual([]), 10_000)
      await vi.waitFor(async () => expect(await filesOf(1)).not.toEqual([]), 10_000)
      expect((await filesOf(0)).map((file) => file.key)).not.toContain(key)
      if (what !== 'been deleted') expect(readdirSync(join(root, 'backup/app.db/diverged'))).not.toEqual([])
      await commit(2)
      clock.advance(300_000)
      await vi.waitFor(async () => expect(await filesOf(2)).not.toEqual([]), 10_000)
      expect(await restored()).toEqual([])
      expect(service.status()[0]).toMatchObject({ problem: undefined, lastError: undefined })
    })
  }

  it('heals its backup when its only snapshot is damaged', async () => {
    const { clock, filesOf, pathOf, restored } = await running()
    const [snapshot] = await filesOf(9)
    OF_OBJECTS['a flipped bit']!(pathOf(snapshot!.key))
    clock.advance(24 * 3_600_000)
    await vi.waitFor(async () => {
      const snapshots = (await filesOf(9)).map(({ key }) => key)
      expect(snapshots.length).toBeGreaterThan(0)
      expect(snapshots).not.toContain(snapshot!.key)
    }, 10_000)
    expect(await restored()).toEqual([])
  })

  it('sets nothing aside whose reads differ', async () => {
    const { store, clock, filesOf, restored } = await running()
    const before = (await filesOf(0)).map(({ key }) => key)
    const get = store.get.bind(store)
    let reads = 0
    store.get = async (...args: Parameters<typeof get>) => {
      const chunks: Buffer[] = []
      for await (const chunk of await get(...args)) chunks.push(Buffer.from(chunk))
      const bytes = Buffer.concat(chunks)
      bytes[reads++ % bytes.length]! ^= 0x10
      return [bytes] as unknown as AsyncIterable<Uint8Array>
    }
    clock.advance(30_000)
    await vi.waitFor(() => expect(reads).toBeGreaterThan(3), 5000)
    clock.advance(30_000)
    await new Promise((resolve) => setTimeout(resolve, 200))
    store.get = get
    expect((await filesOf(0)).map(({ key }) => key)).toEqual(expect.arrayContaining(before))
    expect(await restored()).toEqual([])
    expect(planRestore(await loadHistory(store, 'app.db'), NEWEST).length).toBeGreaterThan(0)
  })
})
