import { tmpdir } from 'node:os'
import { compact } from '../ltx/compactor.ts'
import type { ObjectStore } from '../objectstore/objectstore.ts'
import { MAX_COMPACTION_INPUTS, planCompaction, type CompactionGroup } from './compaction-plan.ts'
import { loadHistory, loadMetadata, type BackupFile, type BackupHistory } from './history.ts'
import { SNAPSHOT_LEVEL, type FileRef } from './layout.ts'
import type { FileMetadata } from './metadata.ts'
import { namingStream, openInput, readHeader } from './objects.ts'
import { NEWEST, planRestore } from './plan.ts'
import { putFile } from './put.ts'
import { InputFold, makeTemporaryDirectory } from './spill.ts'

export interface CompactionOptions {
  /** Listed by the caller; else it is listed here. */
  readonly history?: BackupHistory
  readonly term?: number
  readonly signal?: AbortSignal
  readonly progress?: (pages: number) => void
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
  const history = options.history ?? (await loadHistory(store, database))
  const written: FileRef[] = []
  for (const group of planCompaction(history, level)) {
    written.push(await merge(store, database, level, group, options))
  }
  return written
}

/**
 * Makes a snapshot (level 9) of what the backup itself holds, up to its newest transaction. Undefined when the newest state
 * is a snapshot already. Throws what `planRestore` throws, CorruptObjectError, BackupConflictError.
 */
export async function snapshotFromBackup(
  store: ObjectStore,
  database: string,
  options: CompactionOptions = {},
): Promise<FileRef | undefined> {
  const history = options.history ?? (await loadHistory(store, database))
  const plan = planRestore(history, NEWEST)
  if (plan.length === 1 && plan[0].level === SNAPSHOT_LEVEL) return undefined
  return merge(store, database, SNAPSHOT_LEVEL, plan, options)
}

async function merge(
  store: ObjectStore,
  database: string,
  level: number,
  files: CompactionGroup,
  options: CompactionOptions,
): Promise<FileRef> {
  const { term, signal } = options
  const last = files.at(-1) ?? files[0]
  const ref: FileRef = { level, min: files[0].min, max: last.max }
  await putFile(
    store,
    {
      ...ref,
      database,
      metadata: await mergedMetadata(store, files[0], last, term),
      body: () => namingStream(store, files, mergedBytes(store, files, options)),
    },
    signal,
  )
  return ref
}

/** A plan of a backup that nobody compacts can be of any length. */
async function* mergedBytes(
  store: ObjectStore,
  files: CompactionGroup,
  { signal, progress }: CompactionOptions,
): AsyncIterable<Uint8Array> {
  const options = { noChecksum: true, ...(signal && { signal }), ...(progress && { progress }) }
  const inputs = files.map((file) => openInput(store, file, signal))
  if (inputs.length <= MAX_COMPACTION_INPUTS) {
    yield* compact(inputs, options)
    return
  }
  const directory = await makeTemporaryDirectory(tmpdir())
  try {
    const fold = new InputFold(directory.path)
    for (const input of inputs) await fold.add(input, signal)
    yield* compact(fold.inputs, options)
  } finally {
    await directory.remove()
  }
}

/** A merged file has its beginning from the first and its end from the last; its term is the highest of who wrote it. */
async function mergedMetadata(
  store: ObjectStore,
  first: BackupFile,
  last: BackupFile,
  term: number | undefined,
): Promise<FileMetadata> {
  const { preApplyChecksum } = await loadMetadata(store, first)
  const { postApplyChecksum, term: lastTerm } = await loadMetadata(store, last)
  const { timestampMs, pageSize, commit } = await readHeader(store, last.key)
  return {
    timestampMs,
    pageSize,
    commit,
    term: Math.max(term ?? 0, lastTerm ?? 0),
    ...(preApplyChecksum === undefined ? {} : { preApplyChecksum }),
    ...(postApplyChecksum === undefined ? {} : { postApplyChecksum }),
  }
}
