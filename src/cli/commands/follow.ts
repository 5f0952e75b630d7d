import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { FollowEvent } from '../../follow/events.ts'
import { formatPosition, formatTXID, type Position } from '../../ltx/format/types.ts'
import { LtxdError, UsageError } from '../../util/errors.ts'
import { redactUrl } from '../../util/redact.ts'
import { isoTime } from '../../util/time.ts'
import { formatSize, parseDuration } from '../../util/units.ts'
import { outputOption } from '../options/output-option.ts'
import { DONE_WITH_WARNINGS, STRICT } from '../options/strict.ts'
import { jsonText, printLine } from '../output/output.ts'

interface Options {
  readonly output: string
  readonly interval: string
  readonly once?: true
  readonly strict?: true
  readonly json?: true
}

export function register(program: Command): void {
  program
    .command('follow')
    .summary('keep a SQLite file in step with a backup, without a mount')
    .description(
      'Restore a database to a file, then apply each new transaction of the backup. Applications can read the file ' +
        'with stock SQLite meanwhile, but not write to it. If the backup no longer continues the file, the database ' +
        'is restored again, and the old file stays beside it under another name. FILE-ltxd records the positions ' +
        'that the file had.',
    )
    .argument('<source>', 'the backup, file:///DIR or s3://BUCKET/PREFIX')
    .argument('<db>', "the database's name on the mount")
    .addOption(outputOption('the file to keep in step').makeOptionMandatory())
    .option('--interval <duration>', 'how often to check for new transactions', '1s')
    .option('--once', 'bring the file up to date, then exit')
    .option('--strict', STRICT)
    .option('--json', 'print each event as a line of JSON')
    .action(run)
}

async function run(sourceUrl: string, database: string, options: Options): Promise<void> {
  const intervalMs = parseDuration(options.interval)
  if (intervalMs === undefined || intervalMs === 0) {
    throw new UsageError(`--interval "${options.interval}" is not valid: expected a duration such as 1s or 250ms`)
  }
  if (/^https?:/i.test(sourceUrl)) {
    throw new UsageError(
      `${redactUrl(sourceUrl)} is the address of a node, and this version follows only backups: give the URL of the node's ` +
        'backup, file:///DIR or s3://BUCKET/PREFIX',
    )
  }
  const [{ openObjectStore }, { BackupSource }, { follow }, { ProgressBar }] = await Promise.all([
    import('../../objectstore/stores/open.ts'),
    import('../../follow/backup-source.ts'),
    import('../../follow/follow.ts'),
    import('../output/progress-bar.ts'),
  ])
  const { assertRegular } = await import('../../util/new-file.ts')
  await assertRegular(resolve(options.output))
  const store = openObjectStore(sourceUrl)
  const bar = new ProgressBar((done, total) => `${done} of ${total} pages`)
  const controller = new AbortController()
  const stop = (name: NodeJS.Signals) => {
    controller.abort(new LtxdError('INTERRUPTED', `interrupted by ${name} before the file was restored`))
  }
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  try {
    await follow({
      source: new BackupSource(store, database),
      path: resolve(options.output),
      intervalMs,
      once: options.once === true,
      signal: controller.signal,
      progress: (done, total) => bar.update(done, total),
      report: (event) => {
        bar.stop()
        printLine(options.json === true ? toJson(event) : describe(event))
        if (event.event === 'avoided' && options.strict === true) process.exitCode = DONE_WITH_WARNINGS
      },
    })
  } finally {
    bar.stop()
    process.removeListener('SIGINT', stop)
    process.removeListener('SIGTERM', stop)
    await store.close()
  }
}

function toJson(event: FollowEvent): string {
  return jsonText(event, (key, value) => {
    if (key === 'position' && value !== undefined) return formatPosition(value as Position)
    return typeof value === 'bigint' ? value.toString(16).padStart(16, '0') : value
  })
}

function describe(event: FollowEvent): string {
  switch (event.event) {
    case 'following':
      return `following from transaction ${formatTXID(event.position.txid)}`
    case 'restored': {
      const { position, sizeBytes, files, tookMs } = event
      const work = `${formatSize(sizeBytes)} from ${files} files in ${(tookMs / 1000).toFixed(2)} s`
      return `restored as of transaction ${formatTXID(position.txid)}: ${work}`
    }
    case 'applied': {
      const { from, position, pages, timestampMs } = event
      const time = isoTime(timestampMs)
      const range = `up to transaction ${formatTXID(position.txid)} (from ${formatTXID(from)})`
      return `applied ${range}, ${time}: ${pages} pages`
    }
    case 'avoided':
      return `warning: object ${event.key} cannot be used: ${event.problem}. Others hold the same transactions`
    case 'lagging':
      return `lagging at ${at(event.position)}: ${event.reason}`
    case 'wal-held':
      return (
        `a reader keeps the WAL from being reset: it has ${formatSize(event.walBytes)}, ` +
        `and ${event.backfilledFrames} of its ${event.walFrames} frames are checkpointed`
      )
    case 'resyncing':
      return `resyncing at ${at(event.position)}: ${event.reason}. The database is being restored again`
    case 'kept':
      return `renamed the old file to ${event.path}. Programs that have it open must open the new one`
    case 'dropped':
      return (
        `the database was dropped in transaction ${formatTXID(event.txid)}` +
        (event.keptAs === undefined ? '' : `. Its last state is in ${event.keptAs}`)
      )
    case 'retrying':
      return `failed at ${at(event.position)}, retrying: ${event.reason}`
    case 'stopped':
      return `stopped at ${at(event.position)}`
  }
}

function at(position: Position | undefined): string {
  return position === undefined ? 'the beginning' : `transaction ${formatTXID(position.txid)}`
}
