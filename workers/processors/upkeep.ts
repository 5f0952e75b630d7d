/** Compaction, snapshots and retention: thin wrappers of the daemon's functions. */

import type { FileRef } from '../../src/backup/history/layout.ts'
import { compactUpTo, prune, snapshotOnce } from '../../src/backup/upkeep/upkeep.ts'
import { formatTXID } from '../../src/ltx/format/types.ts'
import type { Payload } from '../payloads.ts'
import type { JobContext, WrittenFile } from './context.ts'

export interface CompactResult {
  readonly written: readonly WrittenFile[]
  /** Why files were not merged: they do not join. */
  readonly skipped: readonly string[]
}

export async function compact({ database, level }: Payload<'compact'>, context: JobContext): Promise<CompactResult> {
  const { store, signal, progress } = context
  const skipped: string[] = []
  const onSkipped = (problem: string) => void skipped.push(problem)
  const nowMs = context.nowMs()
  const written = await compactUpTo(store, database, level, { signal, progress, nowMs, onSkipped })
  return { written: written.map(describe), skipped }
}

export interface SnapshotResult {
  readonly outcome: 'made' | 'current' | 'dropped' | 'empty'
  readonly written: readonly WrittenFile[]
}

export async function snapshot({ database }: Payload<'snapshot'>, context: JobContext): Promise<SnapshotResult> {
  const { store, signal, progress } = context
  const result = await snapshotOnce(store, database, { signal, progress, nowMs: context.nowMs() })
  return { outcome: result.outcome, written: result.outcome === 'made' ? [describe(result.file)] : [] }
}

export interface RetainResult {
  readonly deleted: number
  readonly sizeBytes: number
}

export async function retain(payload: Payload<'retain'>, context: JobContext): Promise<RetainResult> {
  const { database, ...policy } = payload
  const { store, signal } = context
  const { files, markers } = await prune(store, database, policy, context.nowMs(), { signal })
  return {
    deleted: files.length + markers.length,
    sizeBytes: files.reduce((sum, file) => sum + file.sizeBytes, 0),
  }
}

function describe({ level, min, max }: FileRef): WrittenFile {
  return { level, min: formatTXID(min), max: formatTXID(max) }
}
