/** Whether files that are about to become one are of one history: held against each other by what their metadata tells. */

import pLimit from 'p-limit'
import { formatChecksum, formatTXID } from '../ltx/types.ts'
import type { ObjectStore } from '../objectstore/objectstore.ts'
import { UNSETTLED_MS } from './fence.ts'
import { compareTXID, filesOfLevel, loadMetadata, type BackupFile, type BackupHistory } from './history.ts'
import type { FileMetadata } from './metadata.ts'

export interface DescribedFile {
  readonly file: BackupFile
  readonly metadata: FileMetadata
}

const HEAD_CONCURRENCY = 16

export async function describeFiles(store: ObjectStore, files: readonly BackupFile[]): Promise<DescribedFile[]> {
  const limit = pLimit(HEAD_CONCURRENCY)
  return limit.map([...files], async (file) => ({ file, metadata: await loadMetadata(store, file) }))
}

/** The first file that does not continue the one before it, and why; undefined when nothing speaks against any. */
export function findBreak(
  files: readonly DescribedFile[],
): { readonly index: number; readonly problem: string } | undefined {
  for (let index = 1; index < files.length; index++) {
    const [before, after] = [files[index - 1], files[index]]
    const problem = before && after && breakBetween(before, after)
    if (problem !== undefined) return { index, problem }
  }
  return undefined
}

function breakBetween(before: DescribedFile, after: DescribedFile): string | undefined {
  const names = `${before.file.key} and ${after.file.key}`
  if (after.file.min <= before.file.max) {
    // Of leaders that did not follow each other: where they overlap, nothing tells which is right.
    const [a, b] = [before.metadata.term ?? 0n, after.metadata.term ?? 0n]
    return a === b ? undefined : `${names} overlap and are of terms ${a} and ${b}`
  }
  const [end, begin] = [before.metadata.postApplyChecksum, after.metadata.preApplyChecksum]
  if (after.file.min !== before.file.max + 1n || end === undefined || begin === undefined || end === begin)
    return undefined
  const at = formatTXID(before.file.max)
  return `${names} tell checksums ${formatChecksum(end)} and ${formatChecksum(begin)} after transaction ${at}`
}

/**
 * The history without what may still turn out to be the lost tail of a deposed leader: files of level 0 that were shipped
 * under a lease a short while ago, and what follows them. All of it, where there are no leases.
 */
export async function settled(store: ObjectStore, history: BackupHistory, nowMs: number): Promise<BackupHistory> {
  const young = filesOfLevel(history, 0)
    .filter(({ storedMs }) => storedMs !== undefined && storedMs > nowMs - UNSETTLED_MS)
    .sort((a, b) => compareTXID(a.min, b.min))
  for (const { min, key } of young) {
    const { term = 0n } = await loadMetadata(store, { key })
    if (term > 0n) return { ...history, files: history.files.filter(({ level, max }) => level !== 0 || max < min) }
  }
  return history
}
