/** Which schedules there should be, and what has to change for that. Pure. */

import type { BackupSchedule } from '../src/backup/history/levels.ts'
import { nextBoundary } from '../src/backup/history/levels.ts'
import { backupId, scheduleId } from './job-ids.ts'
import type { Payload } from './payloads.ts'
import type { QueueName } from './queues.ts'

export type ScheduledQueue = Exclude<QueueName, 'restore'>

export interface Schedule {
  readonly queue: ScheduledQueue
  readonly id: string
  readonly everyMs: number
  readonly payload: Payload<ScheduledQueue>
}

/** As Redis has it. */
export interface ExistingSchedule {
  readonly id: string
  readonly everyMs: number | undefined
  readonly payload: unknown
  /** It has a job that is still to be done, however late. */
  readonly hasNext: boolean
}

export interface ScheduleChanges {
  readonly upsert: readonly (Schedule & { readonly startMs: number })[]
  readonly remove: readonly string[]
}

/** A level each, a snapshot and retention for each database. */
export function wantedSchedules(backup: string, databases: Iterable<string>, schedule: BackupSchedule): Schedule[] {
  const { levels, snapshotIntervalMs, retention, retentionCheckIntervalMs } = schedule
  return [...databases].flatMap((database): Schedule[] => {
    const of = (queue: ScheduledQueue, everyMs: number, more: object = {}, level?: number): Schedule => {
      const payload = { backup, database, ...more } as Schedule['payload']
      return { queue, id: scheduleId(queue, backup, database, level), everyMs, payload }
    }
    return [
      ...levels.map(({ level, intervalMs }) => of('compact', intervalMs, { level }, level)),
      of('snapshot', snapshotIntervalMs),
      of('retain', retentionCheckIntervalMs, retention),
    ]
  })
}

/**
 * What is to be changed in one queue. A schedule that is as wanted is left alone, whoever made it, so that a scheduler that
 * starts again, or runs twice, moves nothing; one that has lost its next job is made anew. Schedules of
 * other backups are not looked at.
 */
export function planSchedules(
  backup: string,
  wanted: readonly Schedule[],
  existing: readonly ExistingSchedule[],
  nowMs: number,
): ScheduleChanges {
  const byId = new Map(existing.map((item) => [item.id, item]))
  const ids = new Set(wanted.map(({ id }) => id))
  const own = `${backupId(backup)}.`
  return {
    upsert: wanted
      .filter((schedule) => !isAsWanted(schedule, byId.get(schedule.id)))
      .map((schedule) => ({ ...schedule, startMs: nextBoundary(nowMs, schedule.everyMs) })),
    remove: existing.filter(({ id }) => id.startsWith(own) && !ids.has(id)).map(({ id }) => id),
  }
}

function isAsWanted({ everyMs, payload }: Schedule, existing: ExistingSchedule | undefined): boolean {
  if (existing === undefined || existing.everyMs !== everyMs || !existing.hasNext) return false
  return canonical(existing.payload) === canonical(payload)
}

function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return JSON.stringify(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}
