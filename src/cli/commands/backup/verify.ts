import { type DatabaseReport, verifyBackup } from '../../../backup/history/verify.ts'
import { formatTXID } from '../../../ltx/format/types.ts'
import { openObjectStore } from '../../../objectstore/stores/open.ts'
import { formatSize } from '../../../util/units.ts'
import { interruptible } from '../../output/interruption.ts'
import { printJson } from '../../output/output.ts'
import { ProgressBar } from '../../output/progress-bar.ts'

/** Verifies a backup and prints the findings. An error sets the exit code to 1; a warning does not. */
export async function verify(url: string, database: string | undefined, json: boolean): Promise<void> {
  const store = openObjectStore(url)
  const bar = new ProgressBar((done, total) => `${formatSize(done)} of ${formatSize(total)}`)
  try {
    const reports = await interruptible((signal) =>
      verifyBackup(store, {
        signal,
        progress: (done, total) => bar.update(done, total),
        ...(database !== undefined && { database }),
      }),
    )
    bar.stop()
    const ok = reports.every(isSound)
    if (json) printJson({ url: store.url, ok, databases: reports.map(toJson) })
    else
      process.stdout.write(
        reports.length === 0 ? `${store.url} contains no databases\n` : reports.map(describe).join(''),
      )
    if (!ok) process.exitCode = 1
  } finally {
    bar.stop()
    await store.close()
  }
}

function isSound({ findings }: DatabaseReport): boolean {
  return findings.every(({ severity }) => severity !== 'error')
}

function toJson(report: DatabaseReport) {
  const { restorable, ...rest } = report
  const range = restorable && { first: formatTXID(restorable.first), last: formatTXID(restorable.last) }
  return { ...rest, ok: isSound(report), restorable: range ?? null }
}

function describe(report: DatabaseReport): string {
  const { database, fileCount, sizeBytes, restorable, dropped, findings } = report
  const verdict = isSound(report) ? 'ok' : 'NOT OK'
  const range =
    restorable === undefined ? 'nothing' : `${formatTXID(restorable.first)} to ${formatTXID(restorable.last)}`
  const state = dropped ? '; dropped' : ''
  const head = `${database}: ${verdict}; ${fileCount} files, ${formatSize(sizeBytes)}; restorable: ${range}${state}\n`
  const lines = findings.map(
    ({ severity, key, problem }) => `  ${severity}: ${key === undefined ? '' : `${key}: `}${problem}\n`,
  )
  return head + lines.join('')
}
