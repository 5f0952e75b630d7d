/** The years that RFC 3339 can say. */
export const MIN_TIME_MS = Date.parse('0000-01-01T00:00:00.000Z')
export const MAX_TIME_MS = Date.parse('9999-12-31T23:59:59.999Z')

/** A time that a file or a peer says, which may be any number, as one that can be written. */
export function boundedTime(ms: number): number {
  return Math.min(Math.max(ms, MIN_TIME_MS), MAX_TIME_MS) || 0
}

/** RFC 3339 with milliseconds, in UTC. */
export function isoTime(ms: number): string {
  return new Date(boundedTime(ms)).toISOString()
}
