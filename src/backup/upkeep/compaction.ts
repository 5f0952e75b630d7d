import { tmpdir } from 'node:os'
import { InputFold, makeTemporaryDirectory, spillToTemporaryFile } from '../../image/spill.ts'
import { compact } from '../../ltx/merge/compactor.ts'
import type { ObjectStore } from '../../objectstore/objectstore.ts'
import { type DescribedFile, Descriptions, findBreak, settled } from '../history/chain.ts'
import { BrokenChainError } from '../history/errors.ts'
import { type BackupFile, type BackupHistory, filesOfLevel, loadHistory } from '../history/history.ts'
import { type FileRef, SNAPSHOT_LEVEL } from '../history/layout.ts'
import type { FileMetadata } from '../history/metadata.ts'
import { namingStream, openInput, readHeader } from '../history/objects.ts'
import { NEWEST, planRestore } from '../history/plan.ts'
import { putFile } from '../history/put.ts'
import { coveredUpTo, MAX_COMPACTION_INPUTS, planCompaction } from './compaction-plan.ts'

export interface CompactionOptions {
  /** Listed by the caller; else it is listed here. */
  readonly history?: BackupHistory
  /** What is younger than UNSETTLED_MS and was shipped under a lease is left alone. The system's clock unless told otherwise. */
  readonly nowMs?: number
  readonly signal?: AbortSignal
  readonly progress?: (pages: number) => void
  /** Files do not join: they, and what follows them, are left as they are. */
  readonly onSkipped?: (problem: string) => void
}

/**
 * Brings a level up to date from the one below: one new file as a rule, none when there is nothing new. Needs nothing but
 * the store, so that a daemon, a worker and a command can call it; two that run at once write the same files. Throws
 * CorruptObjectError, BackupConflictError.
 */
export async function compactLevel(
  store: ObjectStore,
  database: string,
  level: number,
  options: CompactionOptions = {},
): Promise<FileRef[]> {
  const listed = options.history ?? (await loadHistory(store, database))
  const descriptions = new Descriptions(store)
  const history = await settled(listed, level > 1 ? [] : uncovered(listed), descriptions, options.nowMs ?? Date.now())
  const groups = planCompaction(history, level)
  const written: FileRef[] = []
  if (groups.length === 0) return written
  let before = await descriptions.of(filesOfLevel(history, level).slice(-1))
  for (const group of groups) {
    const files = await descriptions.of(group)
    const broken = findBreak([...before, ...files])
    const joined = broken === undefined ? files : files.slice(0, Math.max(0, broken.index - before.length))
    if (joined.length > 0) written.push(await merge(store, database, level, joined, options))
    if (broken !== undefined) {
      // What lies behind would be taken for covered if it were merged alone.
      options.onSkipped?.(broken.problem)
      break
    }
    before = files.slice(-1)
  }
  return written
}

/** The files of level 0 that are not part of level 1 yet: what is, was settled when that was made. */
function uncovered(history: BackupHistory): BackupFile[] {
  const covered = coveredUpTo(history, 1)
  return filesOfLevel(history, 0).filter(({ max }) => max > covered)
}

/**
 * Makes a snapshot (level 9) of what the backup itself holds, up to its newest settled transaction. Undefined when that
 * state is a snapshot already. Throws what `planRestore` throws, BrokenChainError, CorruptObjectError, BackupConflictError.
 */
export async function snapshotFromBackup(
  store: ObjectStore,
  database: string,
  options: CompactionOptions = {},
): Promise<FileRef | undefined> {
  const listed = options.history ?? (await loadHistory(store, database))
  const descriptions = new Descriptions(store)
  const history = await settled(listed, uncovered(listed), descriptions, options.nowMs ?? Date.now())
  if (history !== listed && !isRestorable(history)) return undefined
  const plan = planRestore(history, NEWEST)
  if (plan.length === 1 && plan[0].level === SNAPSHOT_LEVEL) return undefined
  const files = await descriptions.of(plan)
  const broken = findBreak(files)
  if (broken !== undefined) throw new BrokenChainError(store.url, database, broken.problem)
  return merge(store, database, SNAPSHOT_LEVEL, files, options)
}

/** Without its youngest files, a history may not have begun yet. */
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
  const files = described.map(({ file }) => file)
  const ref: FileRef = { level, min: first.file.min, max: last.file.max }
  await putFile(
    store,
    {
      ...ref,
      database,
      metadata: await mergedMetadata(store, first, last, described, options.signal),
      body: () => namingStream(store, files, mergedBytes(store, files, options)),
    },
    options.signal,
  )
  return ref
}

/** The files as one. A plan of a backup that nobody compacts can be of any length. */
export async function* mergedBytes(
  store: ObjectStore,
  files: readonly BackupFile[],
  { signal, progress }: Pick<CompactionOptions, 'signal' | 'progress'>,
): AsyncIterable<Uint8Array> {
  const options = { noChecksum: true, ...(signal && { signal }), ...(progress && { progress }) }
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

/** A merged file has its beginning from the first and its end from the last; its term is the highest of theirs. */
async function mergedMetadata(
  store: ObjectStore,
  first: DescribedFile,
  last: DescribedFile,
  all: readonly DescribedFile[],
  signal: AbortSignal | undefined,
): Promise<FileMetadata> {
  const { preApplyChecksum } = first.metadata
  const { postApplyChecksum } = last.metadata
  const { timestampMs, pageSize, commit } = isComplete(last.metadata)
    ? last.metadata
    : await readHeader(store, last.file.key, signal)
  return {
    timestampMs,
    pageSize,
    commit,
    term: all.reduce((highest, { metadata: { term = 0n } }) => (term > highest ? term : highest), 0n),
    ...(preApplyChecksum === undefined ? {} : { preApplyChecksum }),
    ...(postApplyChecksum === undefined ? {} : { postApplyChecksum }),
  }
}

/** Other programs store less with their objects, which then tell it themselves. */
function isComplete(
  metadata: FileMetadata,
): metadata is FileMetadata & { readonly timestampMs: number; readonly pageSize: number; readonly commit: number } {
  const { timestampMs, pageSize, commit } = metadata
  return timestampMs !== undefined && pageSize !== undefined && commit !== undefined
}
