/** Ids of jobs and schedules, made from what they do, so that a repeated request is the same job. */

import { createHash } from 'node:crypto'
import { encodeDatabaseName } from '../src/log/database-name.ts'
import type { Payload } from './payloads.ts'
import type { QueueName } from './queues.ts'

/** The prefix of all ids of one backup, named by its URL or by the name that workers have for it. */
export function backupId(backup: string): string {
  return digest(URL.canParse(backup) ? new URL(backup).toString() : backup)
}

/** A job's id. While such a job waits or runs, it is not queued again. Without colons: BullMQ reserves them. */
export function jobId(payload: Payload<QueueName>): string {
  const { backup, database, ...rest } = payload
  const what = Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1))
  return [
    backupId(backup),
    encodeDatabaseName(database),
    ...(what.length === 0 ? [] : [digest(JSON.stringify(what))]),
  ].join('.')
}

/** A schedule's id. A change of its interval or retention does not change the id. */
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
