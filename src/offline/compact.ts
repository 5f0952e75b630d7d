import { openSpillFile } from '../ltx/codec/spill-file.ts'
import { LTXError } from '../ltx/format/errors.ts'
import { hasChecksums } from '../ltx/format/header.ts'
import { compact, type CompactResult } from '../ltx/merge/compactor.ts'
import { UsageError } from '../util/errors.ts'
import type { NewFile } from '../util/new-file.ts'
import { openUnnamed } from '../util/unnamed-file.ts'
import { InvalidLTXError } from './errors.ts'
import { type LTXFile, readHeader } from './ltx-file.ts'

export interface CompactFilesOptions {
  /** Drops the database checksums. Otherwise the result has them if all files do, and has none if no file does. */
  readonly dropChecksums?: boolean
  readonly signal?: AbortSignal
}

/** Merges LTX files, oldest first, into one. Throws InvalidLTXError, and UsageError when only some have checksums. */
export async function compactFiles(
  files: readonly LTXFile[],
  output: NewFile,
  { dropChecksums = false, signal }: CompactFilesOptions = {},
): Promise<CompactResult> {
  const compaction = compact(files, {
    noChecksum: dropChecksums || (await lackChecksums(files)),
    reuseChunks: true,
    spill: () => openSpillFile(openUnnamed(output.directory)),
    ...(signal === undefined ? {} : { signal }),
  })
  try {
    for await (const chunk of compaction) await output.handle.writeFile(chunk)
    return compaction.result
  } catch (error) {
    if (!(error instanceof LTXError)) throw error
    if (error.field === 'flags' && !dropChecksums && error.offset === undefined) {
      throw new UsageError(`${error.message}. Merge them without checksums by --drop-checksums`, { cause: error })
    }
    throw new InvalidLTXError(error, error.message)
  }
}

/** Whether all files lack checksums. False for an invalid file, which the compaction then reports. */
async function lackChecksums(files: readonly LTXFile[]): Promise<boolean> {
  for (const { name } of files) {
    const header = await readHeader(name)
    if (header === undefined || hasChecksums(header)) return false
  }
  return true
}
