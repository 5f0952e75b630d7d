import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toTXID, type TXID } from '../../ltx/format/types.ts'
import { DatabaseDroppedError } from '../history/errors.ts'
import {
  type BackupFile,
  type BackupHistory,
  type BackupMarker,
  compareFiles,
  compareTXID,
} from '../history/history.ts'
import { DEFAULT_SCHEDULE } from '../history/levels.ts'
import { NEWEST, planRestore, restorablePoints } from '../history/plan.ts'
import { restorableEnds } from '../history/restorable-ends.ts'
import { planUpload, type TransactionInfo } from '../ship/upload-plan.ts'
import { planCompaction } from './compaction-plan.ts'
import { assertPromisesKept } from './retention-check.ts'
import { planRetention } from './retention-plan.ts'

const POLICY = DEFAULT_SCHEDULE.retention
const HOUR = 3_600_000
const FAR_MS = 1e15

/** A backup of keys and times alone, maintained by the same pure functions that the service uses. */
class Model {
  nowMs = 1_000_000
  files: BackupFile[] = []
  markers: BackupMarker[] = []
  /** Every boundary a file ever had, with its time and the lowest and highest level that had it. */
  readonly boundaries: { txid: TXID; timestampMs: number; level: number }[] = []
  #last: TransactionInfo = { txid: toTXID(0), pageSize: 4096, commit: 1 }

  get history(): BackupHistory {
    return { database: 'app.db', files: [...this.files].sort(compareFiles), markers: this.markers }
  }

  get last(): TransactionInfo {
    return this.#last
  }

  commit(kinds: readonly ('change' | 'drop' | 'page size')[]): void {
    const before = this.#last.txid === 0n ? undefined : this.#last
    const transactions = kinds.map((kind) => {
      const { pageSize } = this.#last
      const other = pageSize === 4096 ? 8192 : 4096
      this.#last = {
        txid: toTXID(this.#last.txid + 1n),
        pageSize: kind === 'page size' ? other : pageSize,
        commit: kind === 'drop' && this.#last.txid > 0n ? 0 : 1,
      }
      return this.#last
    })
    for (const step of planUpload(transactions, before)) {
      if (step.kind === 'file') this.#add(0, step.from, step.to)
      else
        this.markers.push({
          kind: step.kind,
          txid: step.txid,
          key: `${step.kind} ${step.txid}`,
          timestampMs: this.nowMs,
        })
      if (step.kind === 'reset') {
        this.#add(9, toTXID(1), step.txid)
        this.#add(0, step.txid, step.txid)
      }
    }
  }

  compact(level: number, maxInputs?: number): void {
    for (const group of planCompaction(this.history, level, maxInputs === undefined ? {} : { maxInputs })) {
      for (const [i, file] of group.entries()) {
        const previous = group[i - 1]
        if (previous !== undefined) expect(file.min <= previous.max + 1n && file.max > previous.max).toBe(true)
      }
      const crossed = this.markers.filter(({ txid }) => txid > group[0].max && txid <= (group.at(-1) as BackupFile).max)
      expect(crossed).toEqual([])
      const newest = group.at(-1) as BackupFile
      this.#add(level, group[0].min, newest.max, newest.timestampMs)
    }
  }

  snapshot(): void {
    if (this.#last.commit === 0 || this.files.length === 0) return
    const newest = planRestore(this.history, NEWEST).at(-1) as BackupFile
    if (!this.files.some((file) => file.level === 9 && file.max === newest.max)) {
      this.#add(9, toTXID(1), newest.max, newest.timestampMs)
    }
  }

  /** What is left when these are deleted. */
  without(gone: readonly { readonly key: string }[]): BackupHistory {
    const keys = new Set(gone.map(({ key }) => key))
    const { database, files, markers } = this.history
    return {
      database,
      files: files.filter(({ key }) => !keys.has(key)),
      markers: markers.filter(({ key }) => !keys.has(key)),
    }
  }

  /** Whether the check before a deletion lets it through. */
  allows(gone: readonly { readonly key: string }[]): boolean {
    try {
      assertPromisesKept(this.history, this.without(gone), POLICY, this.nowMs)
      return true
    } catch (error) {
      expect((error as Error).message).toContain('I9')
      return false
    }
  }

  /** The restorable points that the policy promises, by the planner of restores. */
  promised(): TXID[] {
    const sinceMs = this.nowMs - POLICY.snapshotRetentionMs
    const points = new Set(restorablePoints(this.history))
    const compacted = this.files.filter(({ level, max }) => level > 0 && points.has(max))
    const young = compacted.filter(({ timestampMs }) => timestampMs >= sinceMs).map(({ max }) => max)
    const old = compacted.filter(({ timestampMs }) => timestampMs < sinceMs).map(({ max }) => max)
    const newest = (txids: readonly TXID[]) =>
      txids.reduce<TXID[]>(([best], txid) => [best !== undefined && best > txid ? best : txid], [])
    return [...young, ...newest(old), ...newest([...points])]
  }

  retain(): void {
    const plan = planRetention(this.history, POLICY, this.nowMs)
    for (let count = 0; count <= plan.files.length; count++) expect(this.allows(plan.files.slice(0, count))).toBe(true)
    expect(this.allows([...plan.files, ...plan.markers])).toBe(true)
    for (const [i, file] of plan.files.entries()) {
      this.files.splice(this.files.indexOf(file), 1)
      // Retention may stop after any deletion.
      if (i === Math.floor(plan.files.length / 2)) this.assertPromises()
    }
    this.markers = this.markers.filter((marker) => !plan.markers.includes(marker))
    this.assertPromises()
    expect(planRetention(this.history, POLICY, Math.min(plan.nextMs - 1, FAR_MS)).files).toEqual([])
    if (plan.nextMs < Infinity) expect(planRetention(this.history, POLICY, plan.nextMs).files).not.toEqual([])
  }

  /** I9. */
  assertPromises(): void {
    if (this.files.length === 0) return
    if (this.#last.commit === 0) expect(() => planRestore(this.history, NEWEST)).toThrow(DatabaseDroppedError)
    else expect(endOf(this.history)).toBe(this.#last.txid)
    for (const { txid, timestampMs, level } of this.boundaries) {
      const promisedMs = level === 0 ? POLICY.level0RetentionMs : POLICY.snapshotRetentionMs
      if (timestampMs > this.nowMs - promisedMs) {
        expect(planRestore(this.history, { kind: 'txid', txid }).at(-1)?.max, `level ${level} end ${txid}`).toBe(txid)
      }
    }
    for (const level of [0, 1, 2, 3]) {
      if (this.boundaries.some((b) => b.level === level)) expect(this.files.some((f) => f.level === level)).toBe(true)
    }
  }

  #add(level: number, min: TXID, max: TXID, timestampMs = this.nowMs): void {
    const key = `L${level} ${min}-${max}`
    if (this.files.some((file) => file.key === key)) return
    this.files.push({ level, min, max, key, sizeBytes: 1, timestampMs })
    this.boundaries.push({ txid: max, timestampMs, level })
  }
}

function endOf(history: BackupHistory): TXID | undefined {
  return planRestore(history, NEWEST).at(-1)?.max
}

const kind = fc.oneof(
  { weight: 30, arbitrary: fc.constant('change' as const) },
  { weight: 1, arbitrary: fc.constant('drop' as const) },
  { weight: 1, arbitrary: fc.constant('page size' as const) },
)
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.array(kind, { minLength: 1, maxLength: 5 }).map((kinds) => (m: Model) => m.commit(kinds)),
  },
  { weight: 6, arbitrary: fc.constantFrom(1, 2, 3).map((level) => (m: Model) => m.compact(level, 3)) },
  { weight: 2, arbitrary: fc.constant((m: Model) => m.snapshot()) },
  { weight: 4, arbitrary: fc.constant((m: Model) => m.retain()) },
  {
    weight: 5,
    arbitrary: fc
      .constantFrom(1000, 40_000, 6 * 60_000, HOUR, 11 * HOUR, 25 * HOUR)
      .map((ms) => (m: Model) => void (m.nowMs += ms)),
  },
)

describe('compaction and retention', () => {
  it('never lose a restorable point that the policy promises (I9)', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 70 }), (steps) => {
        const model = new Model()
        for (const run of steps) run(model)
        model.assertPromises()
      }),
      { numRuns: 150 },
    )
  })

  it('I9: a deletion that would lose a promised point is stopped, whichever objects it is of', () => {
    let stopped = 0
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 10, maxLength: 50 }),
        fc.array(fc.nat(), { minLength: 1, maxLength: 6 }),
        (steps, picks) => {
          const model = new Model()
          for (const run of steps) run(model)
          expect([...restorableEnds(model.history)].sort(compareTXID)).toEqual(restorablePoints(model.history))
          const { files } = model.history
          if (files.length === 0) return
          const gone = picks.map((pick) => files[pick % files.length] as BackupFile)
          const left = new Set(restorablePoints(model.without(gone)))
          const allowed = model.promised().every((txid) => left.has(txid))
          expect(model.allows(gone)).toBe(allowed)
          if (!allowed) stopped++
        },
      ),
      { numRuns: 150 },
    )
    expect(stopped).toBeGreaterThan(50)
  })

  it('retain every moment of the last day, and little more, over a week of writing', () => {
    const model = new Model()
    for (let minute = 0; minute < 7 * 24 * 60; minute += 15) {
      model.nowMs += 15 * 60_000
      model.commit(['change', 'change', 'change'])
      model.compact(1)
      model.compact(2)
      if (minute % 60 === 0) model.compact(3)
      if (minute % (24 * 60) === 0) model.snapshot()
      const plan = planRetention(model.history, POLICY, model.nowMs)
      model.files = model.files.filter((file) => !plan.files.includes(file))
    }
    model.assertPromises()
    for (let agoMs = 0; agoMs < 24 * HOUR; agoMs += 17 * 60_000) {
      const timestampMs = model.nowMs - agoMs
      const end = planRestore(model.history, { kind: 'timestamp', timestampMs }).at(-1) as BackupFile
      expect(end.timestampMs).toBeLessThan(timestampMs)
      expect(end.timestampMs).toBeGreaterThan(timestampMs - 16 * 60_000)
    }
    const count = (level: number) => model.files.filter((file) => file.level === level).length
    expect(count(9)).toBeLessThanOrEqual(2)
    expect(count(0)).toBeLessThanOrEqual(5)
    expect(count(3)).toBeLessThanOrEqual(75)
  })
})

describe('retention', () => {
  const file = (level: number, min: number, max: number, ageMs: number): BackupFile => {
    return {
      level,
      min: toTXID(min),
      max: toTXID(max),
      key: `L${level} ${min}-${max}`,
      sizeBytes: 1,
      timestampMs: 1e12 - ageMs,
    }
  }
  const expired = (...files: BackupFile[]) =>
    planRetention({ database: 'a', files, markers: [] }, POLICY, 1e12).files.map(({ key }) => key)

  it('retains the newest snapshot, however old', () => {
    expect(expired(file(9, 1, 5, 500 * HOUR), file(9, 1, 9, 400 * HOUR))).toEqual(['L9 1-5'])
    expect(expired(file(9, 1, 9, 400 * HOUR))).toEqual([])
  })

  it('retains the snapshot that the oldest promised moment builds on', () => {
    const snapshots = [file(9, 1, 3, 50 * HOUR), file(9, 1, 5, 30 * HOUR), file(9, 1, 9, 6 * HOUR)]
    expect(expired(...snapshots)).toEqual(['L9 1-3'])
  })

  it('deletes level files below the snapshot before the first retained one, but never a level’s newest file', () => {
    const snapshots = [file(9, 1, 3, 50 * HOUR), file(9, 1, 5, 30 * HOUR)]
    const levels = [
      file(1, 1, 2, 51 * HOUR),
      file(1, 3, 4, 40 * HOUR),
      file(1, 5, 5, 30 * HOUR),
      file(2, 1, 2, 51 * HOUR),
    ]
    expect(expired(...snapshots, ...levels)).toEqual(['L9 1-3', 'L1 1-2'])
  })

  it('retains level 0 until level 1 has covered it for five minutes, and its newest file always', () => {
    const level0 = [file(0, 1, 1, HOUR), file(0, 2, 2, HOUR), file(0, 3, 3, HOUR)]
    expect(expired(...level0)).toEqual([])
    expect(expired(...level0, file(1, 1, 2, HOUR))).toEqual(['L0 1-1', 'L0 2-2'])
    expect(expired(...level0, file(1, 1, 3, HOUR))).toEqual(['L0 1-1', 'L0 2-2'])
    expect(expired(...level0, file(1, 1, 2, 60_000))).toEqual([])
  })
})
