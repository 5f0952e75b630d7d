/** Whether files that are about to become one are of one history: held against each other by what their metadata tells. */

import pLimit from 'p-limit'
import { formatChecksum, formatTXID } from '../../ltx/format/types.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { type BackupFile, type BackupHistory, compareTXID, loadMetadata } from './history.ts'
import type { FileMetadata } from './metadata.ts'
import { UNSETTLED_MS } from './upload-window.ts'

export interface DescribedFile {
  readonly file: BackupFile
  readonly metadata: FileMetadata
}

const HEAD_CONCURRENCY = 16

/** What is stored with the files of one history. Each is looked up once: a request apiece is most of what an idle pass costs. */
export class Descriptions {
  readonly #store: ObjectStore
  readonly #limit = pLimit(HEAD_CONCURRENCY)
  readonly #known = new Map<string, Promise<FileMetadata>>()

  constructor(store: ObjectStore) {
    this.#store = store
  }

  async of(files: readonly BackupFile[]): Promise<DescribedFile[]> {
    try {
      return await Promise.all(files.map(async (file) => ({ file, metadata: await this.#look(file) })))
    } catch (error) {
      // Those that have not begun would only ask a store that is away, or for work that was given up.
      this.#limit.clearQueue()
      this.#known.clear()
      throw error
    }
  }

  #look(file: BackupFile): Promise<FileMetadata> {
    let metadata = this.#known.get(file.key)
    if (metadata === undefined) {
      metadata = this.#limit(() => loadMetadata(this.#store, file))
      this.#known.set(file.key, metadata)
    }
    return metadata
  }
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
 * under a lease a short while ago, and what follows them. Looks at those of level 0 that may be used; the same history when
 * none of them is in doubt, as where there are no leases.
 */
export async function settled(
  history: BackupHistory,
  candidates: readonly BackupFile[],
  descriptions: Descriptions,
  nowMs: number,
): Promise<BackupHistory> {
  const young = candidates
    .filter(({ storedMs }) => storedMs !== undefined && storedMs > nowMs - UNSETTLED_MS)
    .sort((a, b) => compareTXID(a.min, b.min))
  // Under a lease the first of them tells already; without one, all are asked at once.
  for (const files of [young.slice(0, 1), young.slice(1)]) {
    const doubtful = (await descriptions.of(files)).find(({ metadata: { term = 0n } }) => term > 0n)
    if (doubtful === undefined) continue
    const { min } = doubtful.file
    return { ...history, files: history.files.filter(({ level, max }) => level !== 0 || max < min) }
  }
  return history
}
