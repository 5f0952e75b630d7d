import { describe, expect, it } from 'vitest'
import { toTXID } from '../../ltx/format/types.ts'
import type { BackupFile, BackupHistory } from '../history/history.ts'
import { DEFAULT_SCHEDULE } from '../history/levels.ts'
import { restorablePoints } from '../history/plan.ts'
import { beginningOf, planCompaction } from './compaction-plan.ts'
import { assertPromisesKept } from './retention-check.ts'
import { planRetention } from './retention-plan.ts'

const MB = 1024 * 1024
const MINUTE = 60_000
const HOUR = 60 * MINUTE

function file(level: number, min: number, max: number, atMs: number, sizeBytes = 1000): BackupFile {
  const key = `L${level} ${min}-${max}`
  return { level, min: toTXID(min), max: toTXID(max), key, sizeBytes, timestampMs: atMs, storedMs: atMs }
}

const history = (...files: BackupFile[]): BackupHistory => ({ database: 'app.db', files, markers: [] })
const keys = (files: readonly BackupFile[]) => files.map(({ key }) => key)

/** An import, its snapshot, and three uploads. */
const imported = (sizeBytes: number, snapshotAtMs = 2_000) =>
  history(
    file(0, 1, 1, 1_000, sizeBytes),
    file(0, 2, 2, 3_000),
    file(0, 3, 5, 4_000),
    file(0, 6, 6, 5_000),
    file(9, 1, 1, snapshotAtMs, sizeBytes),
  )

describe('a new backup', () => {
  it('holds a large import twice: its levels begin after the first snapshot', () => {
    const before = imported(100 * MB)
    const beginsAfter = beginningOf(before, 30_000)
    expect(planCompaction(before, 1, { beginsAfter }).map(keys)).toEqual([['L0 2-2', 'L0 3-5', 'L0 6-6']])
    // It has begun.
    const after = history(...before.files, file(1, 2, 6, 30_000))
    expect(beginningOf(after, 30_000)).toBe(0n)
    expect(planCompaction(after, 1)).toEqual([])
    expect(planCompaction(after, 2).map(keys)).toEqual([['L1 2-6']])
  })

  it('compacts from the first transaction on when it is small, or its first snapshot was late', () => {
    expect(beginningOf(imported(MB), 30_000)).toBe(0n)
    const late = imported(100 * MB)
    const files = late.files.map((it) => (it.level === 9 ? file(9, 1, 6, HOUR, it.sizeBytes) : it))
    expect(beginningOf(history(...files.slice(0, 3), file(0, 6, 6, HOUR), files.at(-1)), 30_000)).toBe(0n)
    expect(beginningOf(history(file(0, 1, 1, 1_000, 100 * MB)), 30_000)).toBe(0n)
  })

  it('retains the import beside its snapshot, and lets later files of level 0 go', () => {
    const begun = history(...imported(100 * MB).files, file(1, 2, 6, 30_000), file(0, 7, 7, 31_000))
    const policy = DEFAULT_SCHEDULE.retention
    const plan = planRetention(begun, policy, HOUR)
    expect(keys(plan.files)).toEqual(['L0 2-2', 'L0 3-5', 'L0 6-6'])
    const left = history(...begun.files.filter((it) => !plan.files.includes(it)))
    assertPromisesKept(begun, left, policy, HOUR)
    expect(restorablePoints(left).map(Number)).toEqual([1, 6, 7])
    // Also without the snapshot, should that be damaged.
    const damaged = history(...left.files.filter(({ level }) => level !== 9))
    expect(restorablePoints(damaged).map(Number)).toEqual([1, 6, 7])
  })

  it('lets files of level 0 go where one of them holds the end of the first snapshot and more', () => {
    const before = imported(100 * MB)
    const files = before.files.map((it) => (it.level === 9 ? file(9, 1, 3, 2_000, it.sizeBytes) : it))
    const within = history(...files)
    const beginsAfter = beginningOf(within, 30_000)
    expect(planCompaction(within, 1, { beginsAfter }).map(keys)).toEqual([['L0 3-5', 'L0 6-6']])
    const begun = history(...files, file(1, 3, 6, 30_000), file(0, 7, 7, 31_000))
    const policy = DEFAULT_SCHEDULE.retention
    const plan = planRetention(begun, policy, HOUR)
    expect(keys(plan.files)).toEqual(['L0 3-5', 'L0 6-6'])
    const left = history(...begun.files.filter((it) => !plan.files.includes(it)))
    assertPromisesKept(begun, left, policy, HOUR)
    expect(restorablePoints(left).map(Number)).toEqual([1, 2, 3, 6, 7])
  })
})
