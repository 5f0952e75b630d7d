/** Checks, by their metadata, that files about to be merged belong to one history. */

import pLimit from 'p-limit'
import { type Checksum, formatChecksum, formatTXID, type TXID } from '../../ltx/format/types.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { type BackupFile, type BackupHistory, compareTXID, loadMetadata } from './history.ts'
import type { FileMetadata } from './metadata.ts'
import { UNSETTLED_MS } from './upload-window.ts'

export interface DescribedFile {
  readonly file: BackupFile
  readonly metadata: FileMetadata
}

const HEAD_CONCURRENCY = 16

/**
 * The metadata of one history's files. Each file's is loaded once: these requests are most of the cost of an idle
 * pass.
 */
export class Descriptions {
  readonly #store: ObjectStore
  readonly #signal: AbortSignal | undefined
  readonly #limit = pLimit(HEAD_CONCURRENCY)
  readonly #known = new Map<string, Promise<FileMetadata>>()

  constructor(store: ObjectStore, signal?: AbortSignal) {
    this.#store = store
    this.#signal = signal
  }

  async of(files: readonly BackupFile[]): Promise<DescribedFile[]> {
    try {
      return await Promise.all(files.map(async (file) => ({ file, metadata: await this.#load(file) })))
    } catch (error) {
      // Requests that have not started would only burden a store that is failing, or work that was cancelled.
      this.#limit.clearQueue()
      this.#known.clear()
      throw error
    }
  }

  #load(file: BackupFile): Promise<FileMetadata> {
    let metadata = this.#known.get(file.key)
    if (metadata === undefined) {
      metadata = this.#limit(() => loadMetadata(this.#store, file, this.#signal))
      this.#known.set(file.key, metadata)
    }
    return metadata
  }
}

/** The first file that does not continue the one before it, and the reason; undefined when the files join. */
export function findBreak(
  files: readonly DescribedFile[],
): { readonly index: number; readonly problem: string } | undefined {
  const states = new States()
  for (const [index, after] of files.entries()) {
    const before = files[index - 1]
    const problem = (before && overlapOfTerms(before, after)) ?? states.conflict(after)
    if (problem !== undefined) return { index, problem }
    states.add(after)
  }
  return undefined
}

/** What files record of the database's state after a transaction: two of one history never differ. */
class States {
  readonly #states = new Map<TXID, { readonly checksum: Checksum; readonly key: string }>()

  conflict({ file, metadata }: DescribedFile): string | undefined {
    const { preApplyChecksum, postApplyChecksum } = metadata
    return (
      this.#differs(file.key, (file.min - 1n) as TXID, preApplyChecksum) ??
      this.#differs(file.key, file.max, postApplyChecksum)
    )
  }

  add({ file, metadata }: DescribedFile): void {
    const { preApplyChecksum, postApplyChecksum } = metadata
    const { key } = file
    if (preApplyChecksum !== undefined) this.#states.set((file.min - 1n) as TXID, { checksum: preApplyChecksum, key })
    if (postApplyChecksum !== undefined) this.#states.set(file.max, { checksum: postApplyChecksum, key })
  }

  #differs(key: string, txid: TXID, checksum: Checksum | undefined): string | undefined {
    const known = this.#states.get(txid)
    if (known === undefined || checksum === undefined || known.checksum === checksum) return undefined
    const sums = `${formatChecksum(known.checksum)} and ${formatChecksum(checksum)}`
    return `${known.key} and ${key} record checksums ${sums} after transaction ${formatTXID(txid)}`
  }
}

/** Files of two leaders that do not continue each other: nothing says which of them is right. */
function overlapOfTerms(before: DescribedFile, after: DescribedFile): string | undefined {
  if (after.file.min > before.file.max) return undefined
  const [a, b] = [before.metadata.term ?? 0n, after.metadata.term ?? 0n]
  return a === b ? undefined : `${before.file.key} and ${after.file.key} overlap and are of terms ${a} and ${b}`
}

/**
 * The history without files that may still turn out to be a deposed leader's lost tail: level-0 files shipped under a
 * lease less than UNSETTLED_MS ago, and the files after them. `candidates` are the level-0 files the caller wants to
 * use. Returns the same history when none of them is in doubt, as is always so without leases.
 */
export async function withoutDoubtfulTail(
  history: BackupHistory,
  candidates: readonly BackupFile[],
  descriptions: Descriptions,
  nowMs: number,
): Promise<BackupHistory> {
  const young = candidates
    .filter(({ storedMs }) => storedMs !== undefined && storedMs > nowMs - UNSETTLED_MS)
    .sort((a, b) => compareTXID(a.min, b.min))
  // Under a lease the first file already decides. Without one, check the rest at once.
  for (const files of [young.slice(0, 1), young.slice(1)]) {
    const doubtful = (await descriptions.of(files)).find(({ metadata: { term = 0n } }) => term > 0n)
    if (doubtful === undefined) continue
    const { min } = doubtful.file
    return { ...history, files: history.files.filter(({ level, max }) => level !== 0 || max < min) }
  }
  return history
}
