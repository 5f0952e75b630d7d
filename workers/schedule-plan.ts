/** The schedules a backup needs, and the changes that lead there. Pure. */

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

/** A schedule as Redis holds it. */
export interface ExistingSchedule {
  readonly id: string
  readonly everyMs: number | undefined
  readonly payload: unknown
  /** Whether its next job exists, however late. */
  readonly hasNext: boolean
}

export interface ScheduleChanges {
  readonly upsert: readonly (Schedule & { readonly startMs: number })[]
  readonly remove: readonly string[]
}

/** For each database: one schedule a level, one for snapshots, one for retention. */
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
 * The changes to one queue. A schedule that is as wanted stays as it is, whichever scheduler made it, so restarting
 * or running two schedulers moves nothing. A schedule that lost its next job is made anew. Schedules of other backups
 * are ignored.
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
