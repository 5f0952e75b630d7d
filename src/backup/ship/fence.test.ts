import { describe, expect, it, vi } from 'vitest'
import { SEED } from '../../../test/harness/effort.ts'
import { toTXID } from '../../ltx/format/types.ts'
import type { ObjectStore, PutOptions } from '../../objectstore/objectstore.ts'
import { MemoryStore } from '../../objectstore/stores/memory.ts'
import type { Clock } from '../../util/clock.ts'
import { loadHistory, loadMetadata } from '../history/history.ts'
import { UNSETTLED_MS, UPLOAD_TIMEOUT_MS } from '../history/upload-window.ts'
import { verifyBackup } from '../history/verify.ts'
import { ManualClock, PlayedDatabase, seeded, silent } from '../testing.ts'
import { compactLevel, snapshotFromBackup } from '../upkeep/compaction.ts'
import { Fence, LeaseEndedError } from './fence.ts'
import { FencedStore } from './fenced-store.ts'
import { BackupService } from './service.ts'
import { uploadTransactions } from './upload.ts'

const ZERO = { txid: toTXID(0), checksum: undefined, timestampMs: 0, pageSize: 0, commit: 0 }

function setUp() {
  const clock = new ManualClock()
  const store = new MemoryStore({ now: clock.now })
  const played = new PlayedDatabase('app.db', seeded(SEED))
  const keys = async () => {
    const found: string[] = []
    for await (const { key } of store.list('')) found.push(key)
    return found
  }
  const levels = async () =>
    (await loadHistory(store, 'app.db')).files.map(({ level, min, max }) => `L${level} ${min}-${max}`)
  return { clock, store, played, keys, levels }
}

describe('the fence around a backup', () => {
  it('allows no write before the previous holder’s uploads have ended, and none after the deadline', async () => {
    const { clock, store } = setUp()
    let deadlineMs = clock.ms + 60_000
    const notBeforeMs = clock.ms + 20_000
    const fence = new Fence({ term: 5n, mayWriteUntilMs: () => deadlineMs, notBeforeMs, clock })
    const fenced = new FencedStore(store, fence)
    const put = (key: string) => fenced.put(key, Buffer.from('x'), { ifNoneMatch: '*' })
    await expect(put('early')).rejects.toThrow(/previous holder/)
    const began: number[] = []
    const work = fence.run(new AbortController().signal, async (signal) => {
      began.push(clock.ms)
      await put('in time')
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
    })
    const outcome = work.catch((error: unknown) => error)
    expect(began).toEqual([])
    clock.advance(20_000)
    await vi.waitFor(() => expect(began).toEqual([notBeforeMs]))
    // Renewed once: the work continues until the later deadline.
    deadlineMs += 30_000
    await expect(put('renewed')).resolves.toBeUndefined()
    clock.advance(deadlineMs - clock.ms)
    expect(await outcome).toBeInstanceOf(LeaseEndedError)
    await expect(put('late')).rejects.toBeInstanceOf(LeaseEndedError)
    await expect(fenced.delete(['in time'])).rejects.toBeInstanceOf(LeaseEndedError)
    await expect(fence.run(new AbortController().signal, async () => 1)).rejects.toBeInstanceOf(LeaseEndedError)
    expect(await store.head('in time')).toBeDefined()
  })

  it('I7: makes no put that could overwrite an object', async () => {
    const { clock, store } = setUp()
    const fenced = new FencedStore(
      store,
      new Fence({ term: 0n, mayWriteUntilMs: () => Infinity, notBeforeMs: 0, clock }),
    )
    await fenced.put('x', Buffer.from('first'), { ifNoneMatch: '*' })
    await expect(fenced.put('x', Buffer.from('second'))).rejects.toThrow(/I7/)
    await expect(fenced.put('x', Buffer.from('third'), { ifNoneMatch: '*' })).rejects.toMatchObject({
      code: 'OBJECT_EXISTS',
    })
    expect(await store.head('x')).toMatchObject({ sizeBytes: 5 })
  })

  it('starts no earlier than allowed, even if a timer fires early', async () => {
    const { clock, store } = setUp()
    const notBeforeMs = clock.ms + 15_000.4
    // As timers of Node.js do, because they count whole milliseconds.
    const sleep = async (ms: number) => clock.advance(Math.max(Math.floor(ms), 0.4))
    const early: Clock = { now: clock.now, monotonicMs: clock.monotonicMs, sleep }
    const fence = new Fence({ term: 2n, mayWriteUntilMs: () => Infinity, notBeforeMs, clock: early })
    const fenced = new FencedStore(store, fence)
    await fence.run(new AbortController().signal, () => fenced.put('x', Buffer.from('x'), { ifNoneMatch: '*' }))
    expect(clock.ms).toBeGreaterThanOrEqual(notBeforeMs)
  })

  it('limits a request to the time that the next leader waits', async () => {
    const { clock, store } = setUp()
    const seen: PutOptions[] = []
    const spy: ObjectStore = Object.assign(Object.create(store) as ObjectStore, {
      put: async (_: string, __: Uint8Array, options: PutOptions) => void seen.push(options),
    })
    for (const term of [0n, 1n]) {
      const fence = new Fence({ term, mayWriteUntilMs: () => Infinity, notBeforeMs: 0, clock })
      await new FencedStore(spy, fence).put('x', Buffer.from('x'), { ifNoneMatch: '*' })
    }
    expect(seen.map(({ requestTimeoutMs }) => requestTimeoutMs)).toEqual([undefined, UPLOAD_TIMEOUT_MS])
  })
})

describe(`a leader in a term (LTXD_SEED=${SEED})`, () => {
  it('ships nothing more when it was stopped during an upload and resumes after its deadline', async () => {
    for (const where of ['reading', 'sent'] as const) {
      const { clock, store, played, keys } = setUp()
      played.commit(3)
      const deadlineMs = clock.ms + 10_000
      let stopped = 0
      // The process stops inside a put, and all of its timers with it.
      const stopping: ObjectStore = Object.assign(Object.create(store) as ObjectStore, {
        put: async (key: string, body: AsyncIterable<Uint8Array>, options: PutOptions) => {
          async function* interrupted() {
            if (where === 'reading') clock.stop(20_000)
            yield* body
            if (where === 'sent') clock.stop(20_000)
          }
          stopped++
          await store.put(key, interrupted(), options)
        },
        list: (prefix: string, startAfter?: string) => store.list(prefix, startAfter),
        head: (key: string) => store.head(key),
      })
      const service = new BackupService({
        store: stopping,
        logger: silent,
        clock,
        temporaryParent: '/dev/null/nowhere',
        term: 3n,
        mayWriteUntilMs: () => deadlineMs,
        upkeep: false,
      })
      service.add({ name: 'app.db', log: played, filePath: '/nowhere' }, { takenOverAt: toTXID(0) })
      await expect(service.sync('app.db')).rejects.toThrow(/lease of term 3/)
      played.commit(1)
      await expect(service.sync('app.db')).rejects.toThrow(/lease of term 3/)
      expect(await service.stop({ drainMs: 1000 })).toBe(false)
      expect(stopped).toBe(1)
      expect(await keys()).toEqual([])
    }
  })

  it('continues in the same term when its lease is renewed late', async () => {
    const { clock, store, played, levels } = setUp()
    played.commit(1)
    let deadlineMs = clock.ms - 1
    const options = { store, logger: silent, clock, temporaryParent: '/dev/null/nowhere', upkeep: false }
    const service = new BackupService({ ...options, term: 3n, mayWriteUntilMs: () => deadlineMs })
    service.add({ name: 'app.db', log: played, filePath: '/nowhere' }, { takenOverAt: toTXID(0) })
    await expect(service.sync('app.db')).rejects.toThrow(/not renewed in time/)
    deadlineMs = clock.ms + 10_000
    await service.sync('app.db')
    expect(await levels()).toEqual(['L0 1-1'])
    expect((await loadMetadata(store, (await loadHistory(store, 'app.db')).files[0]!)).term).toBe(3n)
    await service.stop({ drainMs: 0 })
  })

  it('stops for good, and reports it once, when a leader of a higher term has written', async () => {
    const { clock, store, played, levels } = setUp()
    played.commit(2)
    const later = played.fork(toTXID(2), seeded(SEED + 1))
    const fenced: bigint[] = []
    const service = new BackupService({
      ...{ store, logger: silent, clock, temporaryParent: '/dev/null/nowhere', term: 3n, upkeep: false },
      onFenced: (term) => fenced.push(term),
    })
    service.add({ name: 'app.db', log: played, filePath: '/nowhere' }, { takenOverAt: toTXID(0) })
    await service.sync('app.db')
    later.commit(2)
    const from = { ...ZERO, txid: toTXID(2), checksum: later.checksums.get(toTXID(2)), pageSize: 512, commit: 1 }
    await uploadTransactions(store, 'app.db', later, from, toTXID(4), { term: 4n })
    played.commit(2)
    await expect(service.sync('app.db')).rejects.toThrow(/in term 4, but this node leads database app.db in term 3/)
    await expect(service.sync('app.db')).rejects.toThrow(/term 4/)
    expect(fenced).toEqual([4n])
    expect(service.status()[0]?.lastError).toMatch(/another node has taken over/)
    expect(await service.stop({ drainMs: 1000 })).toBe(false)
    expect(await levels()).toEqual(['L0 1-2', 'L0 3-4'])
    expect(await verifyBackup(store)).toMatchObject([{ findings: [] }])
  })

  it('replaces the lost tail of a deposed leader, markers and snapshots too, and retains a copy of each', async () => {
    const { clock, store, played, keys, levels } = setUp()
    played.commit(3)
    const deposed = played.fork(toTXID(3), seeded(SEED + 1))
    deposed.commit(2)
    deposed.drop()
    deposed.commit(2)
    await uploadTransactions(store, 'app.db', deposed, ZERO, toTXID(8), { term: 3n })
    expect((await keys()).some((key) => key.includes('/markers/'))).toBe(true)
    const logged: object[] = []
    const logger = { ...silent, error: (fields: object) => void logged.push(fields) }
    const service = new BackupService({
      store,
      logger,
      clock,
      temporaryParent: '/dev/null/nowhere',
      term: 4n,
      upkeep: false,
    })
    played.commit(2)
    service.add({ name: 'app.db', log: played, filePath: '/nowhere' }, { takenOverAt: toTXID(3) })
    await service.sync('app.db')
    await service.stop({ drainMs: 0 })
    expect(await levels()).toEqual(['L0 1-5'])
    const aside = (await keys())
      .filter((key) => key.startsWith('app.db/diverged/'))
      .map((key) => key.replace(/-\d+\.json$/, '.json'))
    expect(aside).toHaveLength(logged.length)
    expect(aside.map((key) => key.replace(/^.*\/(\d+)-(\w)-0*(\w+)-0*(\w+)-\w+\.ltx$/, '$1 L$2 $3-$4')).sort()).toEqual(
      [
        '3 L0 1-5',
        '3 L0 7-7',
        '3 L0 8-8',
        '3 L9 1-7',
        'app.db/diverged/3-0000000000000006-dropped.json',
        'app.db/diverged/3-0000000000000007-reset.json',
      ].sort(),
    )
    expect(await verifyBackup(store)).toMatchObject([{ restorable: { last: 5n }, dropped: false, findings: [] }])
  })

  it('touches no object of a lower term without a take-over position', async () => {
    const { clock, store, played, levels } = setUp()
    played.commit(3)
    const other = played.fork(toTXID(2), seeded(SEED + 1))
    other.commit(2)
    await uploadTransactions(store, 'app.db', played, ZERO, toTXID(3), { term: 3n })
    for (const takenOverAt of [undefined, toTXID(3)]) {
      const service = new BackupService({
        store,
        logger: silent,
        clock,
        temporaryParent: '/dev/null/nowhere',
        term: 4n,
        upkeep: false,
      })
      service.add(
        { name: 'app.db', log: other, filePath: '/nowhere' },
        takenOverAt === undefined ? {} : { takenOverAt },
      )
      await expect(service.sync('app.db')).rejects.toThrow(/different histories/)
      await service.stop({ drainMs: 0 })
      expect(await levels()).toEqual(['L0 1-3'])
    }
  })
})

describe(`upkeep of what was shipped under leases (LTXD_SEED=${SEED})`, () => {
  it('uses no files that may still be set aside', async () => {
    const { clock, store, played, levels } = setUp()
    played.commit(3)
    let state = await uploadTransactions(store, 'app.db', played, ZERO, toTXID(3), { term: 3n })
    expect(await compactLevel(store, 'app.db', 1, { nowMs: clock.ms })).toEqual([])
    expect(await snapshotFromBackup(store, 'app.db', { nowMs: clock.ms })).toBeUndefined()
    clock.advance(UNSETTLED_MS)
    played.commit(2)
    state = await uploadTransactions(store, 'app.db', played, state, toTXID(5), { term: 3n })
    expect(await compactLevel(store, 'app.db', 1, { nowMs: clock.ms })).toMatchObject([{ min: 1n, max: 3n }])
    expect(await snapshotFromBackup(store, 'app.db', { nowMs: clock.ms })).toMatchObject({ min: 1n, max: 3n })
    clock.advance(UNSETTLED_MS)
    expect(await compactLevel(store, 'app.db', 1, { nowMs: clock.ms })).toMatchObject([{ min: 4n, max: 5n }])
    expect(await levels()).toContain('L1 4-5')
    expect(state.txid).toBe(5n)
    expect(await verifyBackup(store)).toMatchObject([{ findings: [] }])
  })

  it('merges no files that do not join, reports them, and leaves the files behind them', async () => {
    const { clock, store, played, levels } = setUp()
    played.commit(3)
    const other = played.fork(toTXID(2), seeded(SEED + 1))
    other.commit(3)
    const state = await uploadTransactions(store, 'app.db', played, ZERO, toTXID(3), { term: 3n })
    // Continues from a transaction 3 that differs from the one in the backup.
    await uploadTransactions(store, 'app.db', other, { ...state, checksum: undefined }, toTXID(5), { term: 3n })
    clock.advance(UNSETTLED_MS)
    const problems: string[] = []
    const compact = (level: number) =>
      compactLevel(store, 'app.db', level, { nowMs: clock.ms, onSkipped: (problem) => problems.push(problem) })
    expect(await compact(1)).toMatchObject([{ min: 1n, max: 3n }])
    expect(await compact(1)).toEqual([])
    expect(problems).toHaveLength(2)
    expect(problems[1]).toMatch(/0001\/0+1-0+3\.ltx and .*0000\/0+4-0+5\.ltx record checksums .* after transaction 0+3/)
    await expect(snapshotFromBackup(store, 'app.db', { nowMs: clock.ms })).rejects.toThrow(/do not join/)
    expect(await levels()).toEqual(['L0 1-3', 'L0 4-5', 'L1 1-3'])
  })
})
