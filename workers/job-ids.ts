/** Names of jobs and schedules: made of what they do, so that asking twice is asking once. */

import { createHash } from 'node:crypto'
import { encodeDatabaseName } from '../src/log/database-name.ts'
import type { Payload } from './payloads.ts'
import type { QueueName } from './queues.ts'

/** The beginning of all names of one backup. */
export function backupId(backup: string): string {
  return digest(new URL(backup).toString())
}

/** Of the job that does this; one that is waiting or under way is not queued again. No colons: BullMQ keeps those. */
export function jobId(payload: Payload<QueueName>): string {
  const { backup, database, ...rest } = payload
  const what = Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1))
  return [
    backupId(backup),
    encodeDatabaseName(database),
    ...(what.length === 0 ? [] : [digest(JSON.stringify(what))]),
  ].join('.')
}

/** Of the schedule that makes such jobs; a change of its interval or retention leaves its name as it is. */
export function scheduleId(
  queue: 'compact' | 'snapshot' | 'retain',
  backup: string,
  database: string,
  level?: number,
): string {
  return `${databaseId(backup, database)}.${level === undefined ? queue : `level-${level}`}`
}

export function databaseId(backup: string, database: string): string {
  return `${backupId(backup)}.${encodeDatabaseName(database)}`
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 12)
}
