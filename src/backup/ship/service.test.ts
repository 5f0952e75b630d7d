import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { SEED } from '../../../test/harness/effort.ts'
import { toTXID } from '../../ltx/format/types.ts'
import { DirectoryStore } from '../../objectstore/directory/store.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { systemClock } from '../../util/clock.ts'
import { unlessAborted } from '../../util/waits.ts'
import { loadHistory } from '../history/history.ts'
import { NEWEST } from '../history/plan.ts'
import { verifyBackup } from '../history/verify.ts'
import { restoreDatabase } from '../restore/restore.ts'
import { ManualClock, PlayedDatabase, seeded, temporaryDirectories } from '../testing.ts'
import { BackupService } from './service.ts'

const directory = temporaryDirectories()

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

async function setUp(commits = 3) {
  const root = await directory()
  const played = new PlayedDatabase('app.db', seeded(SEED))
  played.commit(commits)
  const filePath = join(root, 'app.db')
  await writeFile(filePath, played.image())
  const clock = new ManualClock()
  const store = new DirectoryStore(join(root, 'backup'), { now: clock.now })
  const said: string[] = []
  const say = (level: string) => (_: object, message: string) => void said.push(`${level}: ${message}`)
  const logger = { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') }
  const uploaded: bigint[] = []
  const start = (database = played, upkeep = true) => {
    const service = new BackupService({
      store,
      logger,
      clock,
      upkeep,
      temporaryParent: root,
      onUploaded: (_, txid) => uploaded.push(txid),
    })
    service.add({ name: 'app.db', log: database, filePath })
    service.start()
    cleanups.push(() => service.stop({ drainMs: 0 }))
    return service
  }
  const levels = async () =>
    (await loadHistory(store, 'app.db')).files.map(({ level, min, max }) => `L${level} ${min}-${max}`)
  const expectLevels = (...expected: string[]) => vi.waitFor(async () => expect(await levels()).toEqual(expected), 5000)
  return { root, store, played, filePath, clock, said, uploaded, start, levels, expectLevels }
}

describe(`the backup service (LTXD_SEED=${SEED})`, () => {
  it('ships existing commits, makes the first snapshot, and ships new commits at the next interval', async () => {
    const { played, clock, uploaded, start, expectLevels } = await setUp()
    const service = start()
    await expectLevels('L0 1-3', 'L9 1-3')
    expect(service.status()).toMatchObject([{ name: 'app.db', txid: 3n, lagMs: 0, lastError: undefined }])
    played.commit(1)
    clock.advance(400)
    expect(service.status()[0]?.lagMs).toBeGreaterThanOrEqual(400)
    clock.advance(600)
    await expectLevels('L0 1-3', 'L0 4-4', 'L9 1-3')
    await vi.waitFor(() => expect(service.status()[0]).toMatchObject({ txid: 4n, lagMs: 0 }))
    expect(uploaded).toEqual([3n, 4n])
    expect(played.syncCount).toBeGreaterThan(0)
  })

  it('prepares a clean stop no longer than its signal allows, although an upload hangs', async () => {
    const { store, played, clock, start, expectLevels } = await setUp()
    const service = start()
    await expectLevels('L0 1-3', 'L9 1-3')
    const hangs = vi.spyOn(store, 'put').mockImplementation(
      (_, __, options) =>
        new Promise((_resolve, reject) => {
          options?.signal?.addEventListener('abort', () => reject(options.signal?.reason as Error), { once: true })
        }),
    )
    played.commit(1)
    clock.advance(1000)
    await vi.waitFor(() => expect(hangs).toHaveBeenCalled(), 5000)
    const time = new AbortController()
    const finishing = service.finish(time.signal)
    time.abort(new Error('the time is up'))
    await finishing
    await service.finish(time.signal)
    expect(await service.stop({ drainMs: 1 })).toBe(false)
  })

  it('compacts at the boundaries of each level, and applies retention', async () => {
    const { store, played, clock, start, levels, expectLevels } = await setUp()
    const service = start()
    await expectLevels('L0 1-3', 'L9 1-3')
    clock.advance(30_000)
    await expectLevels('L0 1-3', 'L1 1-3', 'L9 1-3')
    played.nowMs = clock.now()
    played.commit(2)
    clock.advance(1000)
    await expectLevels('L0 1-3', 'L0 4-5', 'L1 1-3', 'L9 1-3')
    clock.advance(5 * 60_000)
    await vi.waitFor(async () => expect(await levels()).toEqual(expect.arrayContaining(['L1 4-5', 'L2 1-5'])), 5000)
    clock.advance(5 * 60_000)
    await expectLevels('L0 4-5', 'L1 1-3', 'L1 4-5', 'L2 1-5', 'L9 1-3')
    clock.advance(24 * 3_600_000)
    await vi.waitFor(async () => expect(await levels()).toContain('L9 1-5'), 5000)
    // Retention may remove files while the verification reads them.
    await service.stop({ drainMs: 0 })
    expect(await verifyBackup(store)).toMatchObject([{ findings: [] }])
  })

  it.each(['delete', 'list', 'head'] as const)(
    'ends a call of its upkeep to %s that hangs, when it stops',
    async (call) => {
      const { store, played, clock, start, expectLevels } = await setUp()
      const service = start()
      await expectLevels('L0 1-3', 'L9 1-3')
      const hangs = vi.spyOn(store as ObjectStore, call).mockImplementation((...given: unknown[]) => {
        const signal = given.find((each) => each instanceof AbortSignal)
        const never = unlessAborted(signal, new Promise<never>(() => undefined))
        never.catch(() => undefined)
        return (call === 'list' ? { [Symbol.asyncIterator]: () => ({ next: () => never }) } : never) as never
      })
      for (let minute = 0; hangs.mock.calls.length === 0; minute++) {
        if (minute < 3) played.commit(1)
        clock.advance(minute < 10 ? 60_000 : 86_400_000)
        await delay(20)
      }
      await service.stop({ drainMs: 0 })
    },
  )

  it('makes only the first snapshot when upkeep belongs to others', async () => {
    const { played, clock, start, expectLevels } = await setUp()
    const service = start(played, false)
    await expectLevels('L0 1-3', 'L9 1-3')
    for (let day = 0; day < 3; day++) clock.advance(24 * 3_600_000)
    played.nowMs = clock.now()
    played.commit()
    clock.advance(1000)
    await service.sync('app.db')
    await expectLevels('L0 1-3', 'L0 4-4', 'L9 1-3')
  })

  it('reports a failing store once, and catches up by itself when the store works again', async () => {
    const { root, played, clock, said, start } = await setUp()
    // A file in place of the backup's directory.
    await writeFile(join(root, 'backup'), '')
    const listings = vi.spyOn(DirectoryStore.prototype, 'list')
    cleanups.push(() => Promise.resolve(listings.mockRestore()))
    const service = start()
    await vi.waitFor(
      () => expect(service.status()[0]?.lastError).toMatch(/a file where a directory was expected/),
      5000,
    )
    for (let i = 0; i < 2; i++) {
      played.commit(1)
      const before = listings.mock.calls.length
      await vi.waitFor(() => {
        clock.advance(40_000)
        expect(listings.mock.calls.length).toBeGreaterThan(before)
      }, 5000)
      await vi.waitFor(() => expect(service.status()[0]?.lastError).toBeDefined())
    }
    expect(said.filter((line) => line === 'error: the backup failed; it is retried')).toHaveLength(1)
    expect(service.status()[0]?.lagMs).toBeGreaterThanOrEqual(80_000)
    await rm(join(root, 'backup'))
    await vi.waitFor(async () => {
      clock.advance(40_000)
      expect(service.status()[0]).toMatchObject({ txid: 5n, lagMs: 0, lastError: undefined })
    }, 10_000)
    expect(said).toContain('info: the backup works again')
  }, 20_000)

  it('ships a snapshot of the live database for transactions that the log no longer holds', async () => {
    const { root, store, played, filePath, start, expectLevels } = await setUp(10)
    played.cutLog(toTXID(8))
    await writeFile(filePath, played.image())
    start()
    await expectLevels('L9 1-10')
    const out = join(root, 'out.db')
    await restoreDatabase(store, 'app.db', NEWEST, out)
    expect((await readFile(out)).equals(played.image())).toBe(true)
    expect((await readdir(root)).filter((name) => name.startsWith('ltxd-tmp'))).toEqual([])
  })

  it('continues with a snapshot, and warns, where the log begins after the end of the backup', async () => {
    const { store, played, filePath, said, start, expectLevels } = await setUp()
    await start().stop({ drainMs: 5000 })
    await expectLevels('L0 1-3')
    played.commit(7)
    played.cutLog(toTXID(8))
    await writeFile(filePath, played.image())
    start()
    await expectLevels('L0 1-3', 'L9 1-10')
    expect(said).toContain(
      'warn: the log does not reach back to the end of the backup: the backup continues with a new snapshot',
    )
    expect(await verifyBackup(store)).toMatchObject([{ findings: [] }])
  })

  it('uploads nothing to a backup that cannot be proven to have the same history', async () => {
    const { root, played, clock, start, levels } = await setUp(2)
    await start().stop({ drainMs: 5000 })
    played.commit(1)
    await start().stop({ drainMs: 5000 })
    // No checksums, and not enough files to compute one.
    const level0 = join(root, 'backup/app.db/ltx/0')
    for (const name of await readdir(level0)) if (name.endsWith('.json')) await rm(join(level0, name))
    for (const name of await readdir(level0)) if (name.startsWith('0000000000000001-')) await rm(join(level0, name))
    await rm(join(root, 'backup/app.db/ltx/9'), { recursive: true, force: true })
    played.commit(1)
    const service = start()
    await vi.waitFor(() => expect(service.status()[0]?.lastError).toMatch(/no transaction in common/), 5000)
    clock.advance(60_000)
    expect(await levels()).toEqual(['L0 3-3'])
  })

  it('uploads nothing over another history, and reports what to do', async () => {
    const { played, clock, start, expectLevels, levels } = await setUp()
    await start().stop({ drainMs: 5000 })
    await expectLevels('L0 1-3')
    const other = new PlayedDatabase('app.db', seeded(SEED + 5))
    other.commit(7)
    const service = start(other)
    await vi.waitFor(() => expect(service.status()[0]?.lastError).toMatch(/different histories/), 5000)
    clock.advance(60_000)
    expect(await levels()).toEqual(['L0 1-3'])
    expect(played.position().txid).toBe(3n)
  })

  it('uploads nothing to a backup that is ahead', async () => {
    const { played, start } = await setUp(4)
    await start().stop({ drainMs: 5000 })
    played.commit(1)
    await start().stop({ drainMs: 5000 })
    const older = new PlayedDatabase('app.db', seeded(SEED))
    older.commit(4)
    const service = start(older)
    await vi.waitFor(() => expect(service.status()[0]?.lastError).toMatch(/is ahead of this node/), 5000)
    expect(played.position().txid).toBe(5n)
  })

  it('continues a backup without checksums, as Litestream writes it, once its pages prove the same history', async () => {
    const { root, played, start, expectLevels } = await setUp()
    await start().stop({ drainMs: 5000 })
    const level0 = join(root, 'backup/app.db/ltx/0')
    for (const name of await readdir(level0)) if (name.endsWith('.json')) await rm(join(level0, name))
    played.commit(1)
    start()
    await expectLevels('L0 1-3', 'L0 4-4', 'L9 1-4')
  })

  it('ships the last commits when it stops, and reports when it could not', async () => {
    const { root, played, start, expectLevels } = await setUp()
    const service = start()
    await expectLevels('L0 1-3', 'L9 1-3')
    played.commit(1)
    expect(await service.stop({ drainMs: 5000 })).toBe(true)
    await expectLevels('L0 1-3', 'L0 4-4', 'L9 1-3')
    const second = start()
    played.commit(1)
    await rename(join(root, 'backup'), join(root, 'gone'))
    await writeFile(join(root, 'backup'), '')
    expect(await second.stop({ drainMs: 5000 })).toBe(false)
  })

  it('ships a database on demand', async () => {
    const { played, start, expectLevels } = await setUp()
    const service = start()
    await expectLevels('L0 1-3', 'L9 1-3')
    played.commit(1)
    await service.sync('app.db')
    expect(service.status()[0]).toMatchObject({ txid: 4n, lagMs: 0 })
    await service.remove('app.db')
    expect(service.status()).toEqual([])
  })
})

describe('the system’s clock', () => {
  it('sleeps, and wakes when it is aborted', async () => {
    const before = systemClock.now()
    await systemClock.sleep(5)
    expect(systemClock.now()).toBeGreaterThanOrEqual(before)
    const controller = new AbortController()
    const sleeping = systemClock.sleep(60_000, controller.signal)
    controller.abort(new Error('stop'))
    await expect(sleeping).rejects.toThrow('stop')
    await expect(systemClock.sleep(1, controller.signal)).rejects.toThrow('stop')
  })
})
