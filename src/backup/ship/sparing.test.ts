import { readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { SEED } from '../../../test/harness/effort.ts'
import { toTXID } from '../../ltx/format/types.ts'
import type { ByteRange, ObjectStore, PutOptions } from '../../objectstore/objectstore.ts'
import { MemoryStore } from '../../objectstore/stores/memory.ts'
import { loadHistory } from '../history/history.ts'
import { type BackupSchedule, DEFAULT_SCHEDULE } from '../history/levels.ts'
import { NEWEST, planRestore } from '../history/plan.ts'
import { verifyBackup } from '../history/verify.ts'
import { restoreDatabase } from '../restore/restore.ts'
import { ManualClock, PlayedDatabase, seeded, silent, temporaryDirectories } from '../testing.ts'
import { BackupService } from './service.ts'

const directory = temporaryDirectories()
const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

/** A bucket that counts what is charged. A page of a listing names a thousand objects. */
class CountedBucket extends MemoryStore {
  counts = { ship: 0, put: 0, list: 0, head: 0, get: 0 }
  open = 0

  override put(key: string, body: Uint8Array | AsyncIterable<Uint8Array>, options?: PutOptions): Promise<void> {
    this.counts[key.includes('/0000/') ? 'ship' : 'put']++
    return this.#counted(() => super.put(key, body, options))
  }

  override get(key: string, range?: ByteRange, signal?: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    this.counts.get++
    return this.#counted(() => super.get(key, range, signal))
  }

  override head(key: string): ReturnType<MemoryStore['head']> {
    this.counts.head++
    return this.#counted(() => super.head(key))
  }

  override async *list(prefix: string, startAfter?: string): ReturnType<ObjectStore['list']> {
    this.counts.list++
    let named = 0
    for await (const info of super.list(prefix, startAfter)) {
      if (++named % 1000 === 0) this.counts.list++
      yield info
    }
  }

  async #counted<T>(run: () => Promise<T>): Promise<T> {
    this.open++
    try {
      return await run()
    } finally {
      this.open--
    }
  }
}

const MINUTE = 60

interface Options {
  /** It writes under a lease. */
  readonly term?: bigint | undefined
  readonly schedule?: BackupSchedule
}

/** A node with databases, and its bucket. */
async function running(count: number, { term, schedule = DEFAULT_SCHEDULE }: Options = {}) {
  const root = await directory()
  const clock = new ManualClock()
  const bucket = new CountedBucket({ now: clock.now })
  const lease = term === undefined ? {} : { term, mayWriteUntilMs: () => Infinity }
  const service = new BackupService({
    store: bucket,
    logger: silent,
    clock,
    schedule,
    temporaryParent: join(root, 'tmp'),
    ...lease,
  })
  const databases = Array.from({ length: count }, (_, i) => {
    const log = new PlayedDatabase(`db${i}.db`, seeded(SEED + i))
    return { log, filePath: join(root, `db${i}.db`) }
  })
  const commit = ({ log, filePath }: (typeof databases)[number]) => {
    log.nowMs = clock.now()
    log.commit()
    writeFileSync(filePath, log.image())
  }
  for (const database of databases) {
    commit(database)
    const { log, filePath } = database
    service.add({ name: log.database, log, filePath }, term === undefined ? {} : { takenOverAt: toTXID(0) })
  }
  service.start()
  cleanups.push(() => service.stop({ drainMs: 0 }))
  /** Nothing has been asked of the bucket for a while. */
  const quiet = async () => {
    let asked = ''
    for (let calm = 0; calm < 3;) {
      await new Promise((resolve) => setTimeout(resolve, 1))
      const now = JSON.stringify(bucket.counts)
      calm = now === asked && bucket.open === 0 ? calm + 1 : 0
      asked = now
    }
  }
  const isShipped = () => service.status().every(({ lagMs, txid }) => txid !== undefined && lagMs === 0)
  /** Each database commits once in so many seconds. */
  const pass = async (seconds: number, every: number) => {
    for (let second = 1; second <= seconds; second++) {
      databases.forEach((database, i) => {
        if ((second + i) % every === 0) commit(database)
      })
      clock.advance(1000)
      while (!isShipped()) await new Promise(setImmediate)
      if (second % 15 === 0) await quiet()
    }
  }
  const take = () => {
    const { counts } = bucket
    bucket.counts = { ship: 0, put: 0, list: 0, head: 0, get: 0 }
    return counts
  }
  const expectRestored = async () => {
    for (const { log } of databases) {
      const out = join(root, `${log.database}-${Math.random()}`)
      await restoreDatabase(bucket, log.database, NEWEST, out)
      expect((await readFile(out)).equals(log.image())).toBe(true)
    }
    const verified = await verifyBackup(bucket)
    expect(verified.flatMap(({ findings }) => findings)).toEqual([])
  }
  return { root, clock, bucket, service, databases, pass, take, quiet, expectRestored }
}

describe(`a node and its bucket (LTXD_SEED=${SEED})`, () => {
  it.each([
    ['one database that commits every second, under a lease', 1, 1, 3n],
    ['ten databases that commit every ten seconds', 10, 10, undefined],
  ] as const)(
    'make one put an interval with commits, few other requests, and no download: %s',
    async (_, count, every, term) => {
      const { pass, take, expectRestored } = await running(count, { term })
      // After a take-over each upload is followed by a listing for a while.
      await pass(6 * MINUTE, 10)
      take()
      await pass(5 * MINUTE, every)
      const { ship, get, ...others } = take()
      const intervals = ((5 * MINUTE) / every) * count
      expect(ship).toBeLessThanOrEqual(intervals)
      expect(ship).toBeGreaterThan(0.8 * intervals)
      expect(get).toBe(0)
      expect(others.put + others.list + others.head, JSON.stringify(others)).toBeLessThanOrEqual(0.05 * intervals)
      await expectRestored()
    },
    120_000,
  )

  it.each([
    ['been emptied', (bucket: MemoryStore, key: string) => replace(bucket, key, Buffer.alloc(0))],
    ['been deleted', (bucket: MemoryStore, key: string) => bucket.delete([key])],
    ['been replaced by a page of HTML', (bucket: MemoryStore, key: string) => replace(bucket, key, LOGIN_PAGE)],
  ] as const)(
    'notices with a listing that an object of the newest plan has %s, and heals it',
    async (_, damage) => {
      const retention = { ...DEFAULT_SCHEDULE.retention, level0RetentionMs: 30_000 }
      const options = { schedule: { ...DEFAULT_SCHEDULE, retention } }
      const { bucket, pass, databases, quiet, clock, service } = await running(1, options)
      await pass(1 * MINUTE, 1)
      const [{ log }] = databases as [(typeof databases)[number]]
      const history = await loadHistory(bucket, log.database)
      const [snapshot, ...others] = planRestore(history, NEWEST)
      await damage(bucket, snapshot.key)
      for (const { key } of others.slice(0, 1)) await damage(bucket, key)
      await pass(10 * MINUTE, 1)
      clock.advance(1000)
      await quiet()
      const avoided = await restoredAvoiding(bucket, log)
      expect(avoided).toEqual([])
      expect(service.status()[0]).toMatchObject({ problem: undefined, lastError: undefined })
    },
    60_000,
  )

  it('reads a copy on its disk that is damaged from the bucket instead', async () => {
    const { root, bucket, pass, take, expectRestored } = await running(1)
    await pass(45, 1)
    take()
    let damaged = 0
    for (const name of readdirSync(join(root, 'tmp'), { recursive: true, encoding: 'utf8' })) {
      const path = join(root, 'tmp', name)
      if (!statSync(path).isFile()) continue
      truncateSync(path, statSync(path).size >> 1)
      damaged++
    }
    expect(damaged).toBeGreaterThan(5)
    await pass(45, 1)
    expect(take().get).toBeGreaterThan(5)
    expect((await loadHistory(bucket, 'db0.db')).files.filter(({ level }) => level === 1)).not.toEqual([])
    await expectRestored()
  }, 60_000)

  it('merges what another program has written, and what it has put itself before a restart', async () => {
    const { bucket, pass, service, databases, clock, root, quiet, take, expectRestored } = await running(1)
    await pass(20, 1)
    await service.stop({ drainMs: 1000 })
    const [{ log, filePath }] = databases as [(typeof databases)[number]]
    const next = new BackupService({ store: bucket, logger: silent, clock, temporaryParent: join(root, 'tmp2') })
    next.add({ name: log.database, log, filePath })
    next.start()
    cleanups.push(() => next.stop({ drainMs: 0 }))
    await quiet()
    take()
    clock.advance(5 * MINUTE * 1000)
    await quiet()
    expect(take().get).toBeGreaterThan(5)
    await vi.waitFor(async () =>
      expect((await loadHistory(bucket, 'db0.db')).files.filter(({ level }) => level === 1)).not.toEqual([]),
    )
    await expectRestored()
  }, 60_000)
})

const LOGIN_PAGE = Buffer.from('<html><body>Log in to the network</body></html>')

async function replace(bucket: MemoryStore, key: string, bytes: Uint8Array): Promise<void> {
  const head = await bucket.head(key)
  await bucket.delete([key])
  await bucket.put(key, bytes, { metadata: head?.metadata ?? {} })
}

async function restoredAvoiding(bucket: ObjectStore, log: PlayedDatabase) {
  const directory = await mkdtemp(join(tmpdir(), 'ltxd-sparing-'))
  try {
    const out = join(directory, 'out')
    const { avoided } = await restoreDatabase(bucket, log.database, NEWEST, out)
    expect((await readFile(out)).equals(log.image())).toBe(true)
    return avoided
  } finally {
    await rm(directory, { recursive: true })
  }
}
