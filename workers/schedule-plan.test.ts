import { expect, test } from 'vitest'
import { type BackupSchedule, DEFAULT_SCHEDULE } from '../src/backup/history/levels.ts'
import { scheduleId } from './job-ids.ts'
import { parsePayload } from './payloads.ts'
import { type ExistingSchedule, planSchedules, type Schedule, wantedSchedules } from './schedule-plan.ts'

const NOW = 1_780_000_012_345
const BACKUP = 'file:///var/backups'

function asExisting(schedules: readonly Schedule[]): ExistingSchedule[] {
  return schedules.map(({ id, everyMs, payload }) => ({
    id,
    everyMs,
    payload: { ...payload },
    hasNext: true,
  }))
}

const wanted = (databases: string[], schedule: BackupSchedule = DEFAULT_SCHEDULE, backup = BACKUP) =>
  wantedSchedules(backup, databases, schedule)

test('each database has its levels, snapshots and retention, with payloads that workers accept', () => {
  const schedules = wanted(['a.db', 'b/c.db'])
  expect(schedules.map(({ queue, everyMs }) => [queue, everyMs])).toEqual(
    [...Array(2).keys()].flatMap(() => [
      ['compact', 30_000],
      ['compact', 300_000],
      ['compact', 3_600_000],
      ['snapshot', 86_400_000],
      ['retain', 15_000],
    ]),
  )
  for (const { queue, payload } of schedules) expect(parsePayload(queue, payload)).toEqual(payload)
  expect(new Set(schedules.map(({ queue, id }) => queue + id)).size).toBe(10)
})

test('a missing schedule begins at its next boundary, as in a daemon', () => {
  const schedules = wanted(['a.db'])
  const { upsert, remove } = planSchedules(BACKUP, schedules, [], NOW)
  expect(upsert.map(({ id }) => id)).toEqual(schedules.map(({ id }) => id))
  for (const { startMs, everyMs } of upsert) {
    expect(startMs).toBeGreaterThan(NOW)
    expect(startMs - NOW).toBeLessThanOrEqual(everyMs)
    expect(startMs % everyMs).toBe(0)
  }
  expect(remove).toEqual([])
})

test('a scheduler that restarts, or runs beside another, changes nothing', () => {
  const schedules = wanted(['a.db', 'b.db'])
  expect(planSchedules(BACKUP, schedules, asExisting(schedules), NOW)).toEqual({ upsert: [], remove: [] })
})

test('changed intervals are updated, schedules of removed databases are removed, other backups are untouched', () => {
  const before = asExisting([...wanted(['a.db', 'gone.db']), ...wanted(['a.db'], DEFAULT_SCHEDULE, 'file:///other')])
  const levels = [
    { level: 1, intervalMs: 10_000 },
    { level: 2, intervalMs: 300_000 },
  ]
  const retention = { ...DEFAULT_SCHEDULE.retention, level0RetentionMs: 0 }
  const { upsert, remove } = planSchedules(
    BACKUP,
    wanted(['a.db'], { ...DEFAULT_SCHEDULE, levels, retention }),
    before,
    NOW,
  )
  expect(upsert.map(({ queue, id }) => [queue, id])).toEqual([
    ['compact', scheduleId('compact', BACKUP, 'a.db', 1)],
    ['retain', scheduleId('retain', BACKUP, 'a.db')],
  ])
  const gone = (level: number) => scheduleId('compact', BACKUP, 'gone.db', level)
  const rest = (['snapshot', 'retain'] as const).map((queue) => scheduleId(queue, BACKUP, 'gone.db'))
  expect(new Set(remove)).toEqual(
    new Set([scheduleId('compact', BACKUP, 'a.db', 3), gone(1), gone(2), gone(3), ...rest]),
  )
})

test('a schedule that lost its next job is made anew', () => {
  const [schedule] = wanted(['a.db'])
  const [existing] = asExisting([schedule!])
  expect(planSchedules(BACKUP, [schedule!], [existing!], NOW).upsert).toEqual([])
  expect(planSchedules(BACKUP, [schedule!], [{ ...existing!, hasNext: false }], NOW).upsert).toHaveLength(1)
})
