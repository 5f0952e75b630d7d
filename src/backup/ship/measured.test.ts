import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { SEED } from '../../../test/harness/effort.ts'
import { OBJECT_DAMAGES, PAGE, replaceObject } from '../../../test/harness/object-damage.ts'
import { DirectoryStore } from '../../objectstore/directory/store.ts'
import { StoreUnavailableError } from '../../objectstore/errors.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { MemoryStore } from '../../objectstore/stores/memory.ts'
import { loadHistory } from '../history/history.ts'
import { DEFAULT_SCHEDULE } from '../history/levels.ts'
import { NEWEST, type Plan, planRestore } from '../history/plan.ts'
import { restoreDatabase } from '../restore/restore.ts'
import { ManualClock, PlayedDatabase, seeded, silent, temporaryDirectories } from '../testing.ts'
import { BackupService } from './service.ts'

const directory = temporaryDirectories()
const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

const DAY_MS = 24 * 3_600_000
const VERIFY_MS = 10_000
const DATABASE = 'app.db'
const WAIT = { timeout: 10_000, interval: 5 }

/** Nothing but the measurement reads or lists the backup. */
const SCHEDULE = {
  ...DEFAULT_SCHEDULE,
  levels: [{ level: 1, intervalMs: DAY_MS }],
  snapshotIntervalMs: DAY_MS,
  retentionCheckIntervalMs: DAY_MS,
  verifyIntervalMs: VERIFY_MS,
}

type Place = (root: string, clock: ManualClock) => { readonly store: ObjectStore; readonly upkeep: boolean }

const PLACES: Readonly<Record<string, Place>> = {
  'in a directory': (root, { now }) => ({ store: new DirectoryStore(join(root, 'backup'), { now }), upkeep: true }),
  'in a bucket': (_, { now }) => ({ store: new MemoryStore({ now }), upkeep: true }),
  'in a bucket that workers compact': (_, { now }) => ({ store: new MemoryStore({ now }), upkeep: false }),
}

/** A node that has shipped a snapshot and five files, is idle since then, and has measured its backup. */
async function idle(place: Place) {
  const root = await directory()
  const clock = new ManualClock()
  const { store, upkeep } = place(root, clock)
  const log = new PlayedDatabase(DATABASE, seeded(SEED))
  const filePath = join(root, DATABASE)
  const commit = () => {
    log.nowMs = clock.now()
    log.commit()
    writeFileSync(filePath, log.image())
  }
  commit()
  const said: string[] = []
  const tasks: unknown[] = []
  const logger = {
    ...silent,
    warn: (_: unknown, text: string) => void said.push(text),
    debug: ({ task }: { readonly task?: unknown }) => void tasks.push(task),
  }
  const service = new BackupService({
    ...{ store, logger, clock, upkeep, schedule: SCHEDULE, temporaryParent: join(root, 'tmp') },
  })
  service.add({ name: DATABASE, log, filePath })
  service.start()
  cleanups.push(() => service.stop({ drainMs: 0 }))
  const history = () => loadHistory(store, DATABASE)
  await vi.waitFor(() => expect(tasks).toContain('snapshot'), WAIT)
  const [first] = (await history()).files
  for (let i = 0; i < 5; i++) {
    commit()
    clock.advance(1000)
    await service.sync(DATABASE)
  }
  // The snapshot alone has the first transaction.
  await store.delete([first!.key])
  const status = () => service.status()[0]!
  /** Passes time until another measurement has found the newest state restorable. */
  const verified = async () => {
    const before = status().measured
    await vi.waitFor(() => {
      clock.advance(VERIFY_MS / 4)
      expect(status().measured?.monotonicMs).not.toBe(before?.monotonicMs)
    }, WAIT)
  }
  let restores = 0
  const restored = async () => {
    const out = join(root, `restored-${++restores}.db`)
    const { avoided } = await restoreDatabase(store, DATABASE, NEWEST, out)
    expect(readFileSync(out).equals(log.image())).toBe(true)
    return avoided
  }
  const plan = async () => planRestore(await history(), NEWEST)
  await verified()
  return { store, log, clock, service, commit, said, status, verified, restored, plan, history }
}

const VICTIMS: Readonly<Record<string, (plan: Plan) => number>> = {
  'the snapshot': () => 0,
  'a file of transactions': () => 3,
  'the last file': (plan) => plan.length - 1,
}

describe.each(Object.entries(PLACES))(`the backup of an idle database %s (LTXD_SEED=${SEED})`, (_, place) => {
  describe.each(Object.entries(VICTIMS))('of which %s', (_, victim) => {
    it.each(Object.entries(OBJECT_DAMAGES))('is %s is noticed within the interval, and healed', async (_, damage) => {
      const { store, plan, verified, restored, said, status, history } = await idle(place)
      const files = await plan()
      const { key } = files[victim(files)]!
      await damage(store, key, files.slice(1).find((file) => file.key !== key)!.key)
      await verified()
      expect(said.join()).toMatch(/gap or is damaged: shipping a snapshot of the live database/)
      expect(await restored()).toEqual([])
      expect((await history()).files.map((file) => file.key)).not.toContain(key)
      expect(status()).toMatchObject({ problem: undefined, lastError: undefined })
    })
  })

  it('is healed when an upload is replaced by a page of its size before it is listed', async () => {
    const { store, service, commit, clock, plan, verified, restored, said } = await idle(place)
    for (let i = 0; i < 3; i++) {
      commit()
      clock.advance(100)
      await service.sync(DATABASE)
    }
    const files = await plan()
    const { key, sizeBytes } = files.at(-2)!
    await replaceObject(store, key, Buffer.alloc(sizeBytes, PAGE))
    await verified()
    expect(said.join()).toMatch(/gap or is damaged/)
    expect(await restored()).toEqual([])
  })

  it('is verified while it is written to, also where the store shows times to the second only', async () => {
    const { store, service, commit, clock, status, verified, said } = await idle(place)
    const original = store.list.bind(store)
    vi.spyOn(store, 'list').mockImplementation(async function* (prefix) {
      for await (const info of original(prefix)) {
        yield { ...info, lastModifiedMs: info.lastModifiedMs - (info.lastModifiedMs % 1000) }
      }
    })
    const read = vi.spyOn(store, 'get')
    for (let i = 0; i < 3; i++) {
      commit()
      clock.advance(1234)
      await service.sync(DATABASE)
      await verified()
    }
    expect(read).not.toHaveBeenCalled()
    expect(said).toEqual([])
    expect(status().problem).toBeUndefined()
  })

  it('says when it was listed, not when it had been looked at', async () => {
    const { store, clock, status, verified } = await idle(place)
    const original = store.list.bind(store)
    let beganMs = 0
    vi.spyOn(store, 'list').mockImplementation(async function* (prefix) {
      beganMs = clock.monotonicMs()
      yield* original(prefix)
      clock.advance(700)
    })
    await verified()
    expect(status().measured!.monotonicMs).toBe(beganMs)
  })

  it('is healed when all of it is deleted', async () => {
    const { store, verified, restored, history } = await idle(place)
    await store.delete((await history()).files.map(({ key }) => key))
    await verified()
    expect(await restored()).toEqual([])
  })

  it('is listed once an interval, and asked for nothing else', async () => {
    const { store, clock, status, verified, history } = await idle(place)
    await verified()
    const { files } = await history()
    const asked = { list: vi.spyOn(store, 'list'), head: vi.spyOn(store, 'head'), get: vi.spyOn(store, 'get') }
    for (let i = 0; i < 4; i++) {
      const { monotonicMs } = status().measured!
      clock.advance(VERIFY_MS)
      await vi.waitFor(() => expect(status().measured!.monotonicMs).not.toBe(monotonicMs), WAIT)
    }
    expect(asked.list).toHaveBeenCalledTimes(4)
    expect(asked.head).not.toHaveBeenCalled()
    expect(asked.get).not.toHaveBeenCalled()
    expect(status().measured!.sinceMs).toBe(files.find(({ level }) => level === 9)!.timestampMs)
  })

  it('has a problem for as long as it cannot be healed, and none afterwards', async () => {
    const { store, plan, verified, clock, status, restored } = await idle(place)
    const { key } = (await plan())[2]!
    const put = vi
      .spyOn(store, 'put')
      .mockRejectedValue(new StoreUnavailableError(store.url, 'write', new Error('full')))
    await store.delete([key])
    await vi.waitFor(() => {
      clock.advance(VERIFY_MS / 4)
      expect(status().problem).toMatch(/has a gap/)
    }, WAIT)
    const { unverifiedMs } = status()
    clock.advance(VERIFY_MS)
    expect(status().unverifiedMs).toBeGreaterThan(unverifiedMs)
    put.mockRestore()
    await vi.waitFor(async () => {
      clock.advance(VERIFY_MS / 4)
      expect(status().problem).toBeUndefined()
    }, WAIT)
    await verified()
    expect(await restored()).toEqual([])
  }, 30_000)

  it('has no finding where the store is away, or where a listing alone says so', async () => {
    const { store, said, clock, status, verified, history } = await idle(place)
    const { files } = await history()
    const list = vi.spyOn(store, 'list').mockImplementation(() => {
      throw new StoreUnavailableError(store.url, 'list objects', new Error('away'))
    })
    await vi.waitFor(() => {
      clock.advance(VERIFY_MS / 4)
      expect(status().problem).toMatch(/fails/)
    }, WAIT)
    list.mockRestore()
    const original = store.list.bind(store)
    let lies = 2
    vi.spyOn(store, 'list').mockImplementation(async function* (prefix) {
      const isLie = lies-- === 2
      let n = 0
      for await (const info of original(prefix)) {
        if (isLie && ++n === 2) continue
        yield isLie && n === 3 ? { ...info, sizeBytes: 7 } : info
      }
    })
    await verified()
    expect(lies).toBeLessThan(1)
    expect(said).toEqual([])
    expect((await history()).files).toEqual(files)
    expect(status().problem).toBeUndefined()
  })
})
