import { parseTimestamp } from '../../../backup/history/metadata.ts'
import { type DatabaseReport, verifyBackup } from '../../../backup/history/verify.ts'
import { formatTXID } from '../../../ltx/format/types.ts'
import { openObjectStore } from '../../../objectstore/stores/open.ts'
import { UsageError } from '../../../util/errors.ts'
import { formatSize } from '../../../util/units.ts'
import { interruptible } from '../../output/interruption.ts'
import { printJson, printLine } from '../../output/output.ts'
import { ProgressBar } from '../../output/progress-bar.ts'

export interface VerifyCommandOptions {
  readonly json?: true
  readonly sample?: string
  readonly since?: string
}

/** Verifies a backup and prints the findings. An error sets the exit code to 1; a warning does not. */
export async function verify(
  url: string,
  database: string | undefined,
  options: VerifyCommandOptions = {},
): Promise<void> {
  const selection = parseSelection(options)
  const store = openObjectStore(url)
  const bar = new ProgressBar((done, total) => `${formatSize(done)} of ${formatSize(total)}`)
  try {
    const reports = await interruptible((signal) =>
      verifyBackup(store, {
        signal,
        progress: (done, total) => bar.update(done, total),
        ...(database !== undefined && { database }),
        ...selection,
      }),
    )
    bar.stop()
    const ok = reports.every(isSound)
    if (options.json === true) printJson({ url: store.url, ok, databases: reports.map(toJson) })
    else for (const line of reports.flatMap(describe)) printLine(line)
    if (!ok) process.exitCode = 1
  } finally {
    bar.stop()
    await store.close()
  }
}

function parseSelection({ sample, since }: VerifyCommandOptions): { sample?: number; sinceMs?: number } {
  if (sample !== undefined && !/^[1-9]\d{0,8}$/.test(sample)) {
    throw new UsageError(`--sample "${sample}" is not valid: expected how many objects of each database to read`)
  }
  const sinceMs = since === undefined ? undefined : parseTimestamp(since)
  if (since !== undefined && sinceMs === undefined) {
    throw new UsageError(`--since "${since}" is not valid: expected a time with its zone, such as 2026-01-31T12:00:00Z`)
  }
  return { ...(sample !== undefined && { sample: Number(sample) }), ...(sinceMs !== undefined && { sinceMs }) }
}

function isSound({ findings }: DatabaseReport): boolean {
  return findings.every(({ severity }) => severity !== 'error')
}

function toJson(report: DatabaseReport) {
  const { restorable, ...rest } = report
  const range = restorable && { first: formatTXID(restorable.first), last: formatTXID(restorable.last) }
  return { ...rest, ok: isSound(report), restorable: range ?? null }
}

function describe(report: DatabaseReport): string[] {
  const { database, fileCount, readCount, sizeBytes, restorable, dropped, findings } = report
  const verdict = isSound(report) ? 'ok' : 'NOT OK'
  const range =
    restorable === undefined ? 'nothing' : `${formatTXID(restorable.first)} to ${formatTXID(restorable.last)}`
  const state = dropped ? '; dropped' : ''
  const read = readCount < fileCount ? `, ${readCount} of them read` : ''
  const head = `${database}: ${verdict}; ${fileCount} files, ${formatSize(sizeBytes)}${read}; restorable: ${range}${state}`
  const lines = findings.flatMap(({ severity, key, problem, advice }) => [
    `  ${severity}: ${key === undefined ? '' : `${key}: `}${problem}`,
    `    ${advice}`,
  ])
  return [head, ...lines]
}
