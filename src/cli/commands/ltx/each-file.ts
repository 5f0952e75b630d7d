import { stat } from 'node:fs/promises'
import { LTXError } from '../../../ltx/format/errors.ts'
import type { Header, Trailer } from '../../../ltx/format/header.ts'
import { formatTXID } from '../../../ltx/format/types.ts'
import { describeSystemError, UnreadableFileError } from '../../../offline/errors.ts'
import { formatSize } from '../../../util/units.ts'
import { printNote } from '../../output/output.ts'
import { ProgressBar } from '../../output/progress-bar.ts'

/** A file and the error that it caused, as JSON shows it. */
export interface FileProblem {
  readonly file: string
  readonly error: { readonly message: string; readonly offset?: number; readonly field?: string }
}

/**
 * Calls `work` for each file. A damaged or unreadable file is passed to `failed` and sets the exit code to 1; the other
 * files still get their turn.
 */
export async function eachFile(
  files: readonly string[],
  work: (file: string) => Promise<void>,
  failed: (problem: FileProblem) => void,
): Promise<void> {
  for (const file of files) {
    try {
      await work(file)
    } catch (error) {
      process.exitCode = 1
      failed({ file, error: describe(error) })
    }
  }
}

export function printProblem({ file, error }: FileProblem): void {
  printNote(`${file}: ${error.message}`)
}

function describe(error: unknown): FileProblem['error'] {
  if (error instanceof LTXError) {
    const { message, offset, field } = error
    return { message, ...(offset === undefined ? {} : { offset }), ...(field === undefined ? {} : { field }) }
  }
  const cause = error instanceof UnreadableFileError ? error.cause : error
  // A system error, such as a missing file or permission, is the file's problem. Any other error is a bug.
  if (cause instanceof Error && 'syscall' in cause) return { message: describeSystemError(cause, 'an LTX file') }
  throw error
}

/** A progress bar that counts bytes. */
export function byteBar(isShown = process.stderr.isTTY): ProgressBar {
  return new ProgressBar((done, total) => `${formatSize(done)} of ${formatSize(total)}`, isShown)
}

/** The size of all files that exist, in bytes. */
export async function totalSize(files: readonly string[]): Promise<number> {
  let sizeBytes = 0
  for (const file of files) sizeBytes += (await stat(file).catch(() => undefined))?.size ?? 0
  return sizeBytes
}

/** Header and trailer, with 64-bit numbers in hexadecimal. */
export function toJson(header: Header, trailer?: Trailer): Record<string, unknown> {
  const { minTXID, maxTXID, preApplyChecksum, nodeId, timestampMs } = header
  return {
    ...header,
    minTXID: formatTXID(minTXID),
    maxTXID: formatTXID(maxTXID),
    timestamp: formatTime(timestampMs),
    preApplyChecksum: hex(preApplyChecksum),
    nodeId: hex(nodeId),
    ...(trailer === undefined ? {} : trailerToJson(trailer)),
  }
}

export function trailerToJson({ postApplyChecksum, fileChecksum }: Trailer): Record<string, unknown> {
  return { postApplyChecksum: hex(postApplyChecksum), fileChecksum: hex(fileChecksum) }
}

/** RFC 3339 in UTC. A number outside the range of dates is shown in milliseconds. */
export function formatTime(ms: number): string {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? `${ms}ms` : date.toISOString()
}

export function hex(value: bigint): string {
  return value.toString(16).padStart(16, '0')
}
