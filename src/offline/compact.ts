import { compact, type CompactResult } from '../ltx/compactor.ts'
import { LTXError } from '../ltx/errors.ts'
import { openSpillFile } from '../ltx/spill-file.ts'
import { dirname } from 'node:path'
import type { NewFile } from '../util/new-file.ts'
import { UsageError } from '../util/errors.ts'
import { InvalidLTXError } from './errors.ts'
import type { LTXFile } from './ltx-file.ts'

export interface CompactFilesOptions {
  /** The result has no database checksums. Without it, it has them if all files do; none at all is right, too. */
  readonly dropChecksums?: boolean
  readonly signal?: AbortSignal
}

/** Merges LTX files, oldest first, into one. Throws InvalidLTXError, and UsageError where only some have checksums. */
export async function compactFiles(
  files: readonly LTXFile[],
  output: NewFile,
  { dropChecksums = false, signal }: CompactFilesOptions = {},
): Promise<CompactResult> {
  const compaction = compact(files, {
    noChecksum: dropChecksums,
    spill: () => openSpillFile(dirname(output.path)),
    ...(signal === undefined ? {} : { signal }),
  })
  try {
    for await (const chunk of compaction) await output.handle.writeFile(chunk)
    return compaction.result
  } catch (error) {
    if (!(error instanceof LTXError)) throw error
    if (error.field === 'flags' && !dropChecksums && error.offset === undefined) {
      throw new UsageError(`${error.message}. Make one without, with --drop-checksums`, { cause: error })
    }
    throw new InvalidLTXError(error, error.message)
  }
}
