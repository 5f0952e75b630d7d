import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { parseTimestamp } from '../../backup/history/metadata.ts'
import { NEWEST, type Target } from '../../backup/history/plan.ts'
import type { Avoided } from '../../backup/restore/way-round.ts'
import { formatChecksum, formatTXID, parseTXID } from '../../ltx/format/types.ts'
import { errorMessage, UsageError } from '../../util/errors.ts'
import { isoTime } from '../../util/time.ts'
import { formatSize } from '../../util/units.ts'
import { outputOption } from '../options/output-option.ts'
import { DONE_WITH_WARNINGS, STRICT } from '../options/strict.ts'
import { printJson, printLine, printNote } from '../output/output.ts'

interface Options {
  readonly output: string
  readonly txid?: string
  readonly timestamp?: string
  readonly ifNotExists?: true
  readonly check?: true
  readonly strict?: true
  readonly json?: true
}

export function register(program: Command): void {
  program
    .command('restore')
    .summary('restore a database from a backup, as of now or an earlier moment')
    .description(
      'Restore a database from a backup to a new file: its newest state, or its state as of a transaction or a ' +
        'moment. The file appears once it is complete and its checksum is verified. An existing file is never ' +
        'overwritten.',
    )
    .argument('<url>', 'the backup, file:///DIR or s3://BUCKET/PREFIX')
    .argument('<db>', "the database's name on the mount")
    .addOption(outputOption('the file to write').makeOptionMandatory())
    .option(
      '--txid <hex>',
      'as of this transaction, up to 16 hexadecimal digits; `ltxd backup list` shows the restorable range',
    )
    .option('--timestamp <time>', 'as of the last transaction before this moment, such as 2026-01-31T12:00:00Z')
    .option('--if-not-exists', 'if the output exists, do nothing and exit with 0')
    .option(
      '--check',
      'run PRAGMA integrity_check on the result: a damaged file is removed; exit code 1 also if the check cannot run',
    )
    .option('--strict', STRICT)
    .option('--json', 'report as JSON')
    .action(restore)
}

async function restore(url: string, database: string, options: Options): Promise<void> {
  const target = parseTarget(options)
  const output = resolve(options.output)
  const { assertRegular } = await import('../../util/new-file.ts')
  await assertRegular(output)
  if (options.ifNotExists === true && existsSync(output)) {
    if (options.json === true) printJson({ database, output, restored: false })
    else printLine(`${output} already exists: nothing to do`)
    return
  }
  const [{ openObjectStore }, { restoreDatabase }, { ProgressBar }, { interruptible }] = await Promise.all([
    import('../../objectstore/stores/open.ts'),
    import('../../backup/restore/restore.ts'),
    import('../output/progress-bar.ts'),
    import('../output/interruption.ts'),
  ])
  const store = openObjectStore(url)
  const startedMs = performance.now()
  const bar = new ProgressBar((done, total) => `${done} of ${total} pages`)
  try {
    const result = await interruptible((signal) =>
      restoreDatabase(store, database, target, output, { signal, progress: (done, total) => bar.update(done, total) }),
    )
    bar.stop()
    const tookMs = Math.round(performance.now() - startedMs)
    const check = options.check === true ? await checkIntegrity(output, result.verified) : undefined
    const { txid, checksum, verified, pageSize, commit, timestampMs } = result
    const report = {
      database,
      output,
      restored: true,
      txid: formatTXID(txid),
      timestamp: isoTime(timestampMs),
      checksum: formatChecksum(checksum),
      verified,
      pageSize,
      sizePages: commit,
      sizeBytes: commit * pageSize,
      files: result.files.map(({ key }) => key),
      avoided: result.avoided,
      ...(result.doubt !== undefined && { doubt: result.doubt }),
      tookMs,
      ...(check && { integrityCheck: check.result }),
    }
    if (options.json === true) printJson(report)
    else printLine(describe(report))
    warnOfDamage(result.avoided)
    if (result.doubt !== undefined) printNote(`warning: ${result.doubt}`)
    const isSure = result.avoided.length === 0 && result.doubt === undefined
    if (options.strict === true && !isSure) process.exitCode = DONE_WITH_WARNINGS
    if (check?.failure !== undefined) throw check.failure
  } finally {
    bar.stop()
    await store.close()
  }
}

function warnOfDamage(avoided: readonly Avoided[]): void {
  for (const { key, problem } of avoided) {
    const warning = `object ${key} cannot be used: ${problem}. Other objects hold the same transactions`
    printNote(`warning: ${warning}; "ltxd backup verify" finds all damage`)
  }
}

interface Report {
  readonly database: string
  readonly output: string
  readonly txid: string
  readonly timestamp: string
  readonly checksum: string
  readonly verified: boolean
  readonly sizeBytes: number
  readonly tookMs: number
  readonly integrityCheck?: string
}

function describe(report: Report): string {
  const { database, output, txid, timestamp, checksum, verified, sizeBytes, tookMs, integrityCheck } = report
  const proof = verified
    ? `checksum ${checksum} matches the backup`
    : `checksum ${checksum} (not verified: the backup has none)`
  const check = integrityCheck === undefined ? '' : `, integrity_check ${integrityCheck}`
  const size = `${formatSize(sizeBytes)} in ${(tookMs / 1000).toFixed(2)} s`
  return `restored ${database} as of transaction ${txid}, ${timestamp}, to ${output}: ${size}; ${proof}${check}`
}

function parseTarget({ txid, timestamp }: Options): Target {
  if (txid !== undefined && timestamp !== undefined) {
    throw new UsageError('--txid and --timestamp cannot be combined: each names one moment')
  }
  if (txid !== undefined) {
    try {
      return { kind: 'txid', txid: parseTXID(txid) }
    } catch (error) {
      throw new UsageError(`--txid ${errorMessage(error)}`, { cause: error })
    }
  }
  if (timestamp === undefined) return NEWEST
  const timestampMs = parseTimestamp(timestamp)
  if (timestampMs === undefined) {
    throw new UsageError(
      `--timestamp "${timestamp}" is not valid: expected a time with its zone, such as 2026-01-31T12:00:00Z`,
    )
  }
  return { kind: 'timestamp', timestampMs }
}

/** Throws IntegrityError. If the check could not run, returns the failure, so that the report is printed first. */
async function checkIntegrity(path: string, verified: boolean): Promise<{ result: string; failure?: Error }> {
  const { assertIntegrity, encryptedAndUnverified, IntegrityUnknownError, isEncrypted } =
    await import('../../backup/history/integrity.ts')
  if (isEncrypted(path)) {
    const result = 'not made (the content is encrypted)'
    return verified ? { result } : { result, failure: encryptedAndUnverified(path) }
  }
  try {
    await assertIntegrity(path)
    return { result: 'ok' }
  } catch (failure) {
    if (!(failure instanceof IntegrityUnknownError)) throw failure
    return { result: 'not made', failure }
  }
}
