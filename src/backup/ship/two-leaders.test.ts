import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { effort, SEED } from '../../../test/harness/effort.ts'
import { toTXID, type TXID } from '../../ltx/format/types.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { MemoryStore } from '../../objectstore/stores/memory.ts'
import type { Clock } from '../../util/clock.ts'
import { BackupFencedError } from '../history/errors.ts'
import { loadHistory } from '../history/history.ts'
import { planRestore, restorablePoints } from '../history/plan.ts'
import { PageChecksums } from '../history/replay.ts'
import { UNSETTLED_MS } from '../history/upload-window.ts'
import { verifyBackup } from '../history/verify.ts'
import { ObjectRecord, TurnStore } from '../racing.ts'
import { PlayedDatabase, seeded, silent } from '../testing.ts'
import { compactLevel, snapshotFromBackup } from '../upkeep/compaction.ts'
import { Catalog } from './catalog.ts'
import { DatabaseBackup } from './database-backup.ts'
import { Fence } from './fence.ts'
import { FencedStore } from './fenced-store.ts'
import { gatherTakeOverFacts, planTakeOver } from './take-over.ts'

const forever = new AbortController().signal

class TestClock implements Clock {
  ms = 1_780_000_000_000
  now = () => this.ms
  monotonicMs = () => this.ms
  async sleep(): Promise<void> {}
}

/** One database and its backup on a node that leads in a term. */
function writer(store: ObjectStore, clock: Clock, term: bigint, log: PlayedDatabase, takenOverAt: TXID) {
  const fence = new Fence({ term, mayWriteUntilMs: () => Infinity, notBeforeMs: 0, clock })
  const context = {
    catalog: new Catalog(new FencedStore(store, fence), clock),
    fence,
    clock,
    logger: silent,
    temporaryParent: '/dev/null/nowhere',
    onUploaded: () => undefined,
  }
  return new DatabaseBackup({ name: log.database, log, filePath: '/nowhere' }, context, takenOverAt)
}

/**
 * Checks that every restorable point equals the database's state then, and that nothing in the backup contradicts it.
 */
async function expectHistory(store: ObjectStore, log: PlayedDatabase): Promise<void> {
  const history = await loadHistory(store, log.database)
  const points = restorablePoints(history)
  expect(points.at(-1)).toBe(log.position().txid)
  for (const txid of points) {
    const pages = new PageChecksums()
    await pages.apply(store, planRestore(history, { kind: 'txid', txid }))
    expect(pages.checksum(), `transaction ${txid}`).toBe(log.checksums.get(txid))
  }
  expect(await verifyBackup(store)).toMatchObject([{ findings: [] }])
}

/** `LTXD_RUNS=5000 npx vitest …` runs more. */
const RUNS = effort(60, 1500, 'LTXD_RUNS')

const commits = fc.integer({ min: 1, max: 4 })

const races = fc.record({
  random: fc.integer({ min: 0, max: 2 ** 31 }),
  scheduler: fc.scheduler(),
  /** Transactions shipped before either leader; the last ones in term 2. */
  shared: commits,
  /** How many transactions the first leader ships before its lease ends, and how many of them the second received. */
  before: fc.integer({ min: 0, max: 4 }),
  replicated: fc.integer({ min: 0, max: 6 }),
  /** How many transactions each leader commits in each of its rounds. */
  first: fc.array(commits, { minLength: 1, maxLength: 3 }),
  second: fc.array(commits, { minLength: 1, maxLength: 3 }),
  upkeep: fc.boolean(),
})

describe(`a deposed leader and the next one (LTXD_SEED=${SEED})`, () => {
  it(
    'in any interleaving leave the history of the later one, and a copy of all else',
    async () => {
      await fc.assert(
        fc.asyncProperty(races, async ({ random, scheduler, shared, before, replicated, first, second, upkeep }) => {
          const clock = new TestClock()
          const memory = new MemoryStore({ now: clock.now })
          const record = new ObjectRecord()
          const direct = new TurnStore(memory, record, () => Promise.resolve())
          const racing = (who: string) =>
            new TurnStore(memory, record, (what) => scheduler.schedule(Promise.resolve(), `${who}: ${what}`))

          const base = new PlayedDatabase('app.db', seeded(random))
          base.commit(shared)
          await writer(direct, clock, 2n, base, toTXID(0)).sync(forever)
          clock.ms += 2 * UNSETTLED_MS
          // The first leader ships a part in time, and commits more than it can ship in time.
          const firstLog = base.fork(base.position().txid, seeded(random + 1))
          if (before > 0) {
            firstLog.commit(before)
            await writer(direct, clock, 3n, firstLog, base.position().txid).sync(forever)
          }
          const [firstPart = 1, ...firstRest] = first
          const shippedAt = firstLog.position().txid
          firstLog.commit(firstPart)
          const firstBackup = writer(racing('first'), clock, 3n, firstLog, base.position().txid)

          // The second leader has some of it from the stream, and reads the rest of what was shipped from the backup.
          const streamed = min(toTXID(BigInt(shared + replicated)), firstLog.position().txid)
          const replica = firstLog.fork(streamed, seeded(random + 2))
          const plan = planTakeOver(await gatherTakeOverFacts(memory, replica, 3n))
          expect(plan.kind).toBe(
            streamed < shippedAt ? 'fast-forward' : streamed > shippedAt ? 'backup-behind' : 'equal',
          )
          const takenOverAt = streamed < shippedAt ? shippedAt : streamed
          const secondLog = firstLog.fork(takenOverAt, seeded(random + 3))
          const secondBackup = writer(racing('second'), clock, 4n, secondLog, takenOverAt)

          const leading = async (backup: DatabaseBackup, log: PlayedDatabase, rounds: readonly number[]) => {
            for (const count of [0, ...rounds]) {
              if (count > 0) log.commit(count)
              await backup.sync(forever)
            }
          }
          const outcomes = Promise.allSettled([
            leading(firstBackup, firstLog, firstRest),
            leading(secondBackup, secondLog, second),
            ...(upkeep ? [maintain(racing('worker'), clock)] : []),
          ])
          const [firstOutcome, secondOutcome, upkeepOutcome] = await scheduler.waitFor(outcomes)
          const stopped: unknown = firstOutcome.status === 'rejected' ? firstOutcome.reason : undefined
          if (stopped !== undefined) expect(isExpectedEnd(stopped), String(errorCodeOf(stopped))).toBe(true)
          if (secondOutcome.status === 'rejected') expect(errorCodeOf(secondOutcome.reason)).toBe('BACKUP_CHANGING')
          if (upkeepOutcome?.status === 'rejected') throw upkeepOutcome.reason

          // The last late object may arrive after the second leader's last upload; a later check finds it.
          clock.ms += 1_000_000
          await scheduler.waitFor(secondBackup.sync(forever))
          secondLog.commit()
          await scheduler.waitFor(secondBackup.sync(forever))
          clock.ms += 2 * UNSETTLED_MS
          await expectHistory(memory, secondLog)
          expect(await record.vanished(memory)).toEqual([])
          await maintain(memory, clock)
          await expectHistory(memory, secondLog)
          // Without a deadline the deposed leader learns of the new term only after shipping; the later leader
          // removes that too.
          firstLog.commit()
          await expect(scheduler.waitFor(firstBackup.sync(forever))).rejects.toBeInstanceOf(BackupFencedError)
          clock.ms += 1_000_000
          await scheduler.waitFor(secondBackup.sync(forever))
          expect(await record.vanished(memory)).toEqual([])
          await expectHistory(memory, secondLog)
        }),
        { numRuns: RUNS, seed: SEED },
      )
    },
    60_000 + RUNS * 1_000,
  )
})

async function maintain(store: ObjectStore, clock: Clock): Promise<void> {
  const nowMs = clock.now()
  await compactLevel(store, 'app.db', 1, { nowMs })
  await compactLevel(store, 'app.db', 2, { nowMs })
  await snapshotFromBackup(store, 'app.db', { nowMs })
}

function errorCodeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : error
}

/**
 * The deposed leader fails: fenced, or because the later leader moved its objects, after which it would read the
 * backup again.
 */
function isExpectedEnd(error: unknown): boolean {
  return ['BACKUP_FENCED', 'BACKUP_CHANGING', 'BACKUP_CONFLICT', 'BACKUP_DIVERGED'].includes(String(errorCodeOf(error)))
}

function min(a: TXID, b: TXID): TXID {
  return a < b ? a : b
}
