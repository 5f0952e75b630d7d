/** Which segments may go. Pure. */

import assert from 'node:assert/strict'
import type { TXID } from '../ltx/format/types.ts'
import { formatTXID } from '../ltx/format/types.ts'
import type { SegmentName } from './segments.ts'

export interface SegmentFacts extends SegmentName {
  readonly sizeBytes: number
  readonly lastAppendMs: number
}

export interface RetentionLimits {
  readonly ageMs: number
  /** The limit for all segments of one database together. */
  readonly sizeBytes: number
  readonly nowMs: number
  /**
   * The database file is durable up to here, and no saved page checksums are older. The record at this position stays:
   * recovery compares the WAL with it.
   */
  readonly synced: TXID
  /** The backup holds everything up to here; undefined if no backup needs the log. */
  readonly uploaded: TXID | undefined
}

export interface RetentionPlan {
  readonly remove: readonly SegmentFacts[]
  /** By how much the log exceeds `sizeBytes` because the backup still needs what would be removed. */
  readonly overdueBytes: number
}

/**
 * Plans which of `segments` (ascending) to remove. The last one always stays, and nothing is removed that recovery or
 * the backup needs.
 */
export function planRetention(segments: readonly SegmentFacts[], limits: RetentionLimits): RetentionPlan {
  let bytes = segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const remove: SegmentFacts[] = []
  for (let i = 0; i + 1 < segments.length; i++) {
    const segment = segments[i] as SegmentFacts
    const last = (segments[i + 1] as SegmentFacts).first - 1n
    const expired = limits.nowMs - segment.lastAppendMs > limits.ageMs || bytes > limits.sizeBytes
    if (!expired || last >= limits.synced) break
    if (limits.uploaded !== undefined && last > limits.uploaded) {
      return { remove, overdueBytes: Math.max(0, bytes - limits.sizeBytes) }
    }
    remove.push(segment)
    bytes -= segment.sizeBytes
  }
  return { remove, overdueBytes: 0 }
}

/**
 * I9: called right before segments are removed. What goes are the oldest, and neither recovery nor the backup needs any
 * of them: the first segment that stays begins at or before both.
 */
export function assertExpendable(
  segments: readonly SegmentName[],
  remove: readonly SegmentName[],
  { synced, uploaded }: Pick<RetentionLimits, 'synced' | 'uploaded'>,
): void {
  if (remove.length === 0) return
  for (const [i, { path }] of remove.entries())
    assert.equal(path, segments[i]?.path, 'I9: the oldest segments go first')
  const kept = segments[remove.length]
  assert.ok(kept !== undefined, 'I9: the newest segment of a log stays')
  const last = kept.first - 1n
  assert.ok(
    last < synced,
    `I9: ${kept.path} alone does not hold transaction ${formatTXID(synced)}, which recovery needs`,
  )
  assert.ok(uploaded === undefined || last <= uploaded, `I9: the backup lacks transactions before ${kept.path}`)
}
