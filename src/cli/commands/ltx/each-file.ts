import { stat } from 'node:fs/promises'
import { LTXError } from '../../../ltx/format/errors.ts'
import type { Header, Trailer } from '../../../ltx/format/header.ts'
import { formatTXID } from '../../../ltx/format/types.ts'
import { describeSystemError, UnreadableFileError } from '../../../offline/errors.ts'
import { formatSize } from '../../../util/units.ts'
import { ProgressBar } from '../../output/progress-bar.ts'

/** What is wrong with a file, for JSON. */
export interface FileProblem {
  readonly file: string
  readonly error: { readonly message: string; readonly offset?: number; readonly field?: string }
}

/**
 * Does the same with each file. One that is broken or can't be read makes the exit code 1 and goes to `failed`; the
 * others are not kept from their turn.
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
  process.stderr.write(`ltxd: ${file}: ${error.message}\n`)
}

function describe(error: unknown): FileProblem['error'] {
  if (error instanceof LTXError) {
    const { message, offset, field } = error
    return { message, ...(offset === undefined ? {} : { offset }), ...(field === undefined ? {} : { field }) }
  }
  const cause = error instanceof UnreadableFileError ? error.cause : error
  // Of the system's errors: no such file, no permission … Anything else is not for the file to answer for.
  if (cause instanceof Error && 'syscall' in cause) return { message: describeSystemError(cause, 'an LTX file') }
  throw error
}

/** A bar for so many bytes, on a terminal, where they are not printed over it. */
export function byteBar(isShown = process.stderr.isTTY): ProgressBar {
  return new ProgressBar((done, total) => `${formatSize(done)} of ${formatSize(total)}`, isShown)
}

/** Of those that are there. */
export async function totalSize(files: readonly string[]): Promise<number> {
  let sizeBytes = 0
  for (const file of files) sizeBytes += (await stat(file).catch(() => undefined))?.size ?? 0
  return sizeBytes
}

/** Header and trailer with numbers of 64 bits in hexadecimal, as everything about LTX shows them. */
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

/** RFC 3339, UTC; a number that is no date is shown as it is. */
export function formatTime(ms: number): string {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? `${ms}ms` : date.toISOString()
}

export function hex(value: bigint): string {
  return value.toString(16).padStart(16, '0')
}
