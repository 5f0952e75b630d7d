import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { InputFold, makeTemporaryDirectory, spillToTemporaryFile } from '../../image/spill.ts'
import type { TXID } from '../../ltx/format/types.ts'
import { compact } from '../../ltx/merge/compactor.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { type DescribedFile, Descriptions, findBreak, withoutDoubtfulTail } from '../history/chain.ts'
import { BrokenChainError } from '../history/errors.ts'
import { type BackupFile, type BackupHistory, filesOfLevel, loadHistory } from '../history/history.ts'
import { type FileRef, SNAPSHOT_LEVEL, WAL_OFFSET } from '../history/layout.ts'
import type { FileMetadata } from '../history/metadata.ts'
import { openInput, readHeader, reportingCorruptionStream } from '../history/objects.ts'
import { NEWEST, planRestore } from '../history/plan.ts'
import { putFile } from '../history/put.ts'
import { earlierTime } from '../history/store-clock.ts'
import { coveredUpTo, MAX_COMPACTION_INPUTS, planCompaction } from './compaction-plan.ts'

export interface CompactionOptions {
  /** The caller's listing; without it, the function lists. */
  readonly history?: BackupHistory
  /** Files younger than UNSETTLED_MS that were shipped under a lease are not used. Default: the system's clock. */
  readonly nowMs?: number
  readonly signal?: AbortSignal
  readonly progress?: (pages: number) => void
  /** An empty level begins after this transaction. */
  readonly beginsAfter?: TXID
  /** Called when files do not join: they and the files after them stay unmerged. */
  readonly onSkipped?: (problem: string) => void
}

/**
 * Brings a level up to date from the level below: usually one new file, none when there is nothing new. Needs only
 * the store, so a daemon, a worker and a command can all call it. Concurrent calls write the same files. Throws
 * CorruptObjectError, BackupConflictError.
 */
export async function compactLevel(
  store: ObjectStore,
  database: string,
  level: number,
  options: CompactionOptions = {},
): Promise<FileRef[]> {
  const listed = options.history ?? (await loadHistory(store, database, options.signal))
  const descriptions = new Descriptions(store, options.signal)
  const history = level > 1 ? listed : await settled(store, listed, descriptions, options)
  const groups = planCompaction(history, level, options)
  const written: FileRef[] = []
  if (groups.length === 0) return written
  let before = await descriptions.of(filesOfLevel(history, level).slice(-1))
  for (const group of groups) {
    const files = await descriptions.of(group)
    const broken = findBreak([...before, ...files])
    const joined = broken === undefined ? files : files.slice(0, Math.max(0, broken.index - before.length))
    if (joined.length > 0) written.push(await merge(store, database, level, joined, options))
    if (broken !== undefined) {
      // The files behind the break would count as covered if they were merged alone.
      options.onSkipped?.(broken.problem)
      break
    }
    before = files.slice(-1)
  }
  return written
}

/** Without the level-0 files that may still turn out to be a deposed leader's. */
async function settled(
  store: ObjectStore,
  listed: BackupHistory,
  descriptions: Descriptions,
  { nowMs = Date.now(), signal }: CompactionOptions,
): Promise<BackupHistory> {
  const candidates = uncovered(listed)
  if (candidates.length === 0) return listed
  return withoutDoubtfulTail(listed, candidates, descriptions, await earlierTime(store, nowMs, signal))
}

/** The level-0 files that are not part of level 1 yet. Files in level 1 were beyond doubt when it was made. */
function uncovered(history: BackupHistory): BackupFile[] {
  const covered = coveredUpTo(history, 1)
  return filesOfLevel(history, 0).filter(({ max }) => max > covered)
}

/**
 * Makes a snapshot (level 9) from the backup itself, up to its newest transaction that is beyond doubt. Returns
 * undefined when that state is already a snapshot. Throws the errors of `planRestore`, BrokenChainError,
 * CorruptObjectError, BackupConflictError.
 */
export async function snapshotFromBackup(
  store: ObjectStore,
  database: string,
  options: CompactionOptions = {},
): Promise<FileRef | undefined> {
  const listed = options.history ?? (await loadHistory(store, database, options.signal))
  const descriptions = new Descriptions(store, options.signal)
  const history = await settled(store, listed, descriptions, options)
  if (history !== listed && !isRestorable(history)) return undefined
  const plan = planRestore(history, NEWEST)
  if (plan.length === 1 && plan[0].level === SNAPSHOT_LEVEL) return undefined
  const files = await descriptions.of(plan)
  const broken = findBreak(files)
  if (broken !== undefined) throw new BrokenChainError(store.url, database, broken.problem)
  return merge(store, database, SNAPSHOT_LEVEL, files, options)
}

/** Without its youngest files, a history may have no restorable state yet. */
function isRestorable(history: BackupHistory): boolean {
  try {
    planRestore(history, NEWEST)
    return true
  } catch {
    return false
  }
}

async function merge(
  store: ObjectStore,
  database: string,
  level: number,
  described: readonly DescribedFile[],
  options: CompactionOptions,
): Promise<FileRef> {
  const [first, last] = [described[0], described.at(-1)]
  if (first === undefined || last === undefined) throw new Error('nothing to merge')
  assert(first.file.min <= last.file.max, `${first.file.key} and ${last.file.key} are not in TXID order`)
  const files = described.map(({ file }) => file)
  const ref: FileRef = { level, min: first.file.min, max: last.file.max }
  await putFile(
    store,
    {
      ...ref,
      database,
      metadata: await mergedMetadata(store, first, last, described, options.signal),
      body: () => reportingCorruptionStream(store, files, mergedBytes(store, files, options)),
    },
    options.signal,
  )
  return ref
}

/** Merges the files into one. The plan of a backup that is never compacted can be of any length. */
export async function* mergedBytes(
  store: ObjectStore,
  files: readonly BackupFile[],
  { signal, progress }: Pick<CompactionOptions, 'signal' | 'progress'>,
): AsyncIterable<Uint8Array> {
  const options = { noChecksum: true, walOffset: WAL_OFFSET, ...(signal && { signal }), ...(progress && { progress }) }
  const inputs = files.map((file) => openInput(store, file, signal))
  if (inputs.length <= MAX_COMPACTION_INPUTS) {
    yield* compact(inputs, { ...options, spill: spillToTemporaryFile })
    return
  }
  const directory = await makeTemporaryDirectory(tmpdir())
  try {
    const fold = new InputFold(directory.path)
    for (const input of inputs) await fold.add(input, signal)
    yield* compact(fold.inputs, { ...options, spill: fold.spill })
  } finally {
    await directory.remove()
  }
}

/**
 * A merged file begins like the first file and ends like the last. Its term is the highest of theirs, its owner the
 * newest.
 */
async function mergedMetadata(
  store: ObjectStore,
  first: DescribedFile,
  last: DescribedFile,
  all: readonly DescribedFile[],
  signal: AbortSignal | undefined,
): Promise<FileMetadata> {
  const { preApplyChecksum } = first.metadata
  const { postApplyChecksum } = last.metadata
  const owner = all.findLast(({ metadata }) => metadata.owner !== undefined)?.metadata.owner
  const { timestampMs, pageSize, commit } = isComplete(last.metadata)
    ? last.metadata
    : await readHeader(store, last.file.key, signal)
  return {
    timestampMs,
    pageSize,
    commit,
    term: all.reduce((highest, { metadata: { term = 0n } }) => (term > highest ? term : highest), 0n),
    ...(owner && { owner }),
    ...(preApplyChecksum === undefined ? {} : { preApplyChecksum }),
    ...(postApplyChecksum === undefined ? {} : { postApplyChecksum }),
  }
}

/** Other programs store less metadata with their objects; the header then holds the rest. */
function isComplete(
  metadata: FileMetadata,
): metadata is FileMetadata & { readonly timestampMs: number; readonly pageSize: number; readonly commit: number } {
  const { timestampMs, pageSize, commit } = metadata
  return timestampMs !== undefined && pageSize !== undefined && commit !== undefined
}
