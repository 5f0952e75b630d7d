import { dirname } from 'node:path'
import { openSpillFile } from '../ltx/codec/spill-file.ts'
import { LTXError } from '../ltx/format/errors.ts'
import { hasChecksums } from '../ltx/format/header.ts'
import { compact, type CompactResult } from '../ltx/merge/compactor.ts'
import { UsageError } from '../util/errors.ts'
import type { NewFile } from '../util/new-file.ts'
import { InvalidLTXError } from './errors.ts'
import { type LTXFile, readHeader } from './ltx-file.ts'

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
    noChecksum: dropChecksums || (await lackChecksums(files)),
    reuseChunks: true,
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

/** All of them. What is no LTX file is left to the compaction to say. */
async function lackChecksums(files: readonly LTXFile[]): Promise<boolean> {
  for (const { name } of files) {
    const header = await readHeader(name)
    if (header === undefined || hasChecksums(header)) return false
  }
  return true
}
