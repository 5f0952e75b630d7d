import { SnapshotError } from '../../image/errors.ts'
import type { TXID } from '../../ltx/format/types.ts'
import type { BackupLogger, Clock } from '../../util/clock.ts'
import { CorruptObjectError } from '../history/errors.ts'
import { type BackupFile, type BackupHistory, filesOfLevel } from '../history/history.ts'
import { SNAPSHOT_LEVEL } from '../history/layout.ts'
import type { BackupSchedule, RetentionPolicy } from '../history/levels.ts'
import { restorableSinceMs } from '../history/measure.ts'
import { backupPosition } from '../history/position.ts'
import { UNSETTLED_MS } from '../history/upload-window.ts'
import { compactLevel, snapshotFromBackup } from '../upkeep/compaction.ts'
import { beginningOf, coveredUpTo, planCompaction } from '../upkeep/compaction-plan.ts'
import type { CompactionOutcome, Maintained } from '../upkeep/maintenance.ts'
import { applyRetention } from '../upkeep/retention.ts'
import type { SurveyedDatabase } from '../upkeep/surveys.ts'
import { worthOf } from '../upkeep/worth.ts'
import type { Catalog } from './catalog.ts'
import type { Fence } from './fence.ts'
import type { Healing } from './healing.ts'
import type { LiveSnapshot } from './live-snapshot.ts'
import type { LostTail } from './lost-tail.ts'

export interface UpkeepContext {
  readonly catalog: Catalog
  readonly database: string
  readonly fence: Fence
  readonly clock: Clock
  readonly logger: BackupLogger
  readonly schedule: BackupSchedule
  readonly healing: Healing
  readonly lostTail: LostTail | undefined
  /** The last transaction in the backup; undefined where that is unknown, and for a dropped database. */
  readonly shipped: () => TXID | undefined
  /** Ships a snapshot of the live database; undefined while nothing is known of how it continues the backup. */
  readonly snapshotLive: () => ((signal: AbortSignal) => Promise<LiveSnapshot | undefined>) | undefined
}

export interface Measured {
  /** The time of the oldest state that could be restored; undefined where there was none. */
  readonly sinceMs: number | undefined
  readonly atMs: number
  readonly monotonicMs: number
}

/**
 * Compaction, snapshots and retention of one database's backup, by the node that ships it. Where requests cost
 * something, merges read what this node has put from its own disk, snapshots are made of the live database, and
 * retention waits for the listing that all databases share.
 */
export class DatabaseUpkeep implements Maintained {
  readonly #context: UpkeepContext
  /** The backup has a snapshot from which its newest state can be restored. */
  hasSnapshot = false
  /** Before this time of the monotonic clock no file is old enough for a snapshot. */
  #snapshotAfterMs = 0

  #measured: Measured | undefined
  readonly #beganMs: number

  constructor(context: UpkeepContext) {
    this.#context = context
    this.#beganMs = context.clock.monotonicMs()
  }

  /** The last measurement that found the newest state restorable. */
  get measured(): Measured | undefined {
    return this.#measured
  }

  /** The time since that measurement, or since this node ships the database. */
  get unverifiedMs(): number {
    return this.#context.clock.monotonicMs() - (this.#measured?.monotonicMs ?? this.#beganMs)
  }

  get mayMakeSnapshot(): boolean {
    return this.#context.clock.monotonicMs() >= this.#snapshotAfterMs
  }

  compact(level: number, signal: AbortSignal): Promise<CompactionOutcome> {
    const { fence, healing } = this.#context
    return fence.run(signal, (fenced) =>
      healing.around(`compaction ${level}`, fenced, () => this.#withoutBadCopies(() => this.#compact(level, fenced))),
    )
  }

  /** Makes a snapshot from the backup, or from the live database if the backup has a gap or is damaged. */
  snapshot(signal: AbortSignal): Promise<void> {
    const { fence, healing } = this.#context
    return fence.run(signal, (fenced) => healing.around('snapshot', fenced, () => this.#snapshot(fenced)))
  }

  get shipped(): TXID | undefined {
    return this.#context.shipped()
  }

  /**
   * Measures from a listing whether the newest state can be restored, and looks for what does not belong to the
   * history. Heals what it finds.
   */
  check({ history, changed, shipped, listedAt }: SurveyedDatabase, signal: AbortSignal): Promise<boolean> {
    const { fence, healing, lostTail, snapshotLive } = this.#context
    // Nothing says yet that the database continues this backup.
    if (snapshotLive() === undefined) return Promise.resolve(false)
    return fence.run(signal, async (fenced) => {
      if ((await lostTail?.clear(history, fenced)) === true) return false
      let isWhole = true
      for (const file of changed) if (!(await this.#examine(file, fenced))) isWhole = false
      const isHealed = await healing.check(history, fenced, shipped)
      if (isHealed || !isWhole) return false
      healing.noneListed()
      this.#measured = { sinceMs: restorableSinceMs(history), ...listedAt }
      return true
    })
  }

  /** A finding counts when a second request says the same. Returns whether the object is whole, as it was listed. */
  async #examine(file: BackupFile, signal: AbortSignal): Promise<boolean> {
    const { catalog, database, healing, logger } = this.#context
    const { key, sizeBytes } = file
    const isAsListed = (await catalog.store.head(key, signal))?.sizeBytes === sizeBytes
    const error = new CorruptObjectError(catalog.store.url, key, `it is not what was stored: it has ${sizeBytes} bytes`)
    const isWhole = isAsListed && !(await healing.changed(error, signal))
    if (isWhole) logger.info({ database, key }, 'an object of the backup is another one than was stored, and is whole')
    catalog.examined(key)
    return isWhole
  }

  /**
   * Deletes by a listing, which is made unless the caller has one. Returns when there will be more to delete if nothing
   * is added; Infinity when there will not be.
   */
  retain(policy: RetentionPolicy, signal: AbortSignal, listed?: SurveyedDatabase): Promise<number> {
    const { catalog, database, clock, fence } = this.#context
    return fence.run(signal, async (fenced) => {
      const options = { signal: fenced, ...(listed && { history: listed.history }) }
      const plan = await applyRetention(catalog.store, database, policy, clock.now(), options)
      return plan.nextMs
    })
  }

  async #compact(level: number, signal: AbortSignal): Promise<CompactionOutcome> {
    const { catalog, database, clock, logger, healing, schedule } = this.#context
    const { shipped } = this
    const history = await catalog.recent(database, signal)
    const nowMs = clock.now()
    const [level1] = schedule.levels
    const beginsAfter = level === 1 && level1 !== undefined ? beginningOf(history, level1.intervalMs) : undefined
    const beginning = beginsAfter === undefined ? {} : { beginsAfter }
    if (catalog.isSparing) {
      const worth = worthOf(planCompaction(history, level, beginning).flat(), level, schedule, nowMs)
      if (worth !== 'now') return { changed: false, isBehind: worth === 'later' }
    }
    let skipped: string | undefined
    const onSkipped = (reason: string) => {
      skipped = reason
      const fields = { database, backupLevel: level, reason }
      logger.error(fields, 'compaction skipped files of the backup that do not join')
    }
    const written = await compactLevel(catalog.local, database, level, {
      history,
      nowMs,
      signal,
      onSkipped,
      ...beginning,
    })
    const reached = written.at(-1)?.max ?? coveredUpTo(history, level)
    const source = coveredUpTo(history, level - 1)
    const isBehind = skipped === undefined && source > reached && source > (beginsAfter ?? 0n)
    if (skipped !== undefined) await healing.notJoined(skipped, signal)
    // What is known only since the last listing says nothing about damage.
    if (!catalog.isSparing) await healing.check(history, signal, shipped)
    catalog.compacted(database)
    return { changed: written.length > 0, isBehind }
  }

  /** Does the work again, from the store, where a copy on this node's disk is damaged. */
  async #withoutBadCopies<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work()
      } catch (error) {
        if (!(error instanceof CorruptObjectError) || !this.#context.catalog.dropCopy(error.key)) throw error
      }
    }
  }

  async #snapshot(signal: AbortSignal): Promise<void> {
    const { catalog, database, clock } = this.#context
    if (catalog.isSparing && (await this.#snapshotLive(signal))) return
    const history = await catalog.load(database, signal)
    if (history.files.length === 0) return
    if ((await backupPosition(catalog.store, history, signal)).state !== 'live') return
    const nowMs = clock.now()
    const made = await snapshotFromBackup(catalog.local, database, { history, nowMs, signal })
    this.hasSnapshot = made !== undefined || hasSnapshot(history)
    if (!this.hasSnapshot) this.#snapshotAfterMs = clock.monotonicMs() + UNSETTLED_MS
    catalog.trim(database)
  }

  /** Returns false where the backup must do. */
  async #snapshotLive(signal: AbortSignal): Promise<boolean> {
    const { catalog, database, snapshotLive } = this.#context
    const snapshot = snapshotLive()
    if (snapshot === undefined) return false
    const history = await catalog.recent(database, signal)
    const [lastFile, lastSnapshot] = [history.files, filesOfLevel(history, SNAPSHOT_LEVEL)].map((files) =>
      files.reduce((last, { max }) => (max > last ? max : last), 0n),
    )
    if (lastFile === lastSnapshot) return true
    try {
      if ((await snapshot(signal)) !== undefined) this.hasSnapshot = true
      return true
    } catch (error) {
      // It is written to without a pause, or this node's disk has no room for a copy.
      if (error instanceof SnapshotError || (error instanceof Error && 'syscall' in error)) return false
      throw error
    }
  }
}

export function hasSnapshot(history: BackupHistory): boolean {
  return filesOfLevel(history, SNAPSHOT_LEVEL).length > 0
}
