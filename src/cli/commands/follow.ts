import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { FollowEvent } from '../../follow/events.ts'
import { formatPosition, formatTXID, type Position } from '../../ltx/format/types.ts'
import { LtxdError, UsageError } from '../../util/errors.ts'
import { formatSize, parseDuration } from '../../util/units.ts'

interface Options {
  readonly output: string
  readonly interval: string
  readonly once?: true
  readonly json?: true
}

export function register(program: Command): void {
  program
    .command('follow')
    .summary('keep a SQLite file in step with a backup, no mount needed')
    .description(
      'Restore a database to a file, then apply what the backup gets, while applications read the file with stock SQLite. ' +
        'They can not write to it meanwhile. Where the backup no longer continues the file, it is restored anew and the old ' +
        'one kept beside it; FILE-ltxd holds the positions it had.',
    )
    .argument('<source>', 'the backup, file:///DIR or s3://BUCKET/PREFIX')
    .argument('<db>', 'the database, as it is named on the mount')
    .requiredOption('-o, --output <file>', 'the file to keep in step')
    .option('--interval <duration>', 'how often to look for new transactions', '1s')
    .option('--once', 'bring the file up to date, and end')
    .option('--json', 'report as JSON, one line for each event')
    .action(run)
}

async function run(sourceUrl: string, database: string, options: Options): Promise<void> {
  const intervalMs = parseDuration(options.interval)
  if (intervalMs === undefined || intervalMs === 0) {
    throw new UsageError(`--interval "${options.interval}" is not a duration: expected one such as 1s or 250ms`)
  }
  if (/^https?:/i.test(sourceUrl)) {
    throw new UsageError(
      `${sourceUrl} is a node's address: this version follows backups only. Give the URL of the node's backup, file:///DIR or s3://BUCKET/PREFIX`,
    )
  }
  const [{ openObjectStore }, { BackupSource }, { follow }, { ProgressBar }] = await Promise.all([
    import('../../objectstore/stores/open.ts'),
    import('../../follow/backup-source.ts'),
    import('../../follow/follow.ts'),
    import('../output/progress-bar.ts'),
  ])
  const store = openObjectStore(sourceUrl)
  const bar = new ProgressBar((done, total) => `${done} of ${total} pages`)
  const controller = new AbortController()
  const stop = (name: NodeJS.Signals) => {
    controller.abort(new LtxdError('INTERRUPTED', `interrupted by ${name} before the file was there`))
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
        process.stdout.write(options.json === true ? toJson(event) : `${describe(event)}\n`)
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
  const text = JSON.stringify(event, (key, value: unknown) => {
    if (key === 'position' && value !== undefined) return formatPosition(value as Position)
    return typeof value === 'bigint' ? value.toString(16).padStart(16, '0') : value
  })
  return `${text}\n`
}

function describe(event: FollowEvent): string {
  switch (event.event) {
    case 'following':
      return `following from transaction ${formatTXID(event.position.txid)}`
    case 'restored': {
      const { position, sizeBytes, files, tookMs } = event
      return `restored as of transaction ${formatTXID(position.txid)}: ${formatSize(sizeBytes)} from ${files} files in ${(tookMs / 1000).toFixed(2)} s`
    }
    case 'applied': {
      const { from, position, pages, timestampMs } = event
      const time = new Date(timestampMs).toISOString()
      return `applied up to transaction ${formatTXID(position.txid)} (from ${formatTXID(from)}), ${time}: ${pages} pages`
    }
    case 'lagging':
      return `LAGGING at ${at(event.position)}: ${event.reason}`
    case 'wal-held':
      return `a reader holds the WAL: ${formatSize(event.walBytes)}, ${event.backfilledFrames} of ${event.walFrames} frames are in the file`
    case 'resyncing':
      return `RESYNC at ${at(event.position)}: ${event.reason}. The database is being restored anew`
    case 'kept':
      return `the old file was kept as ${event.path}; programs that have it open go on reading it, and must open the new one`
    case 'dropped':
      return `the database was DROPPED in transaction ${formatTXID(event.txid)}${event.keptAs === undefined ? '' : `; its last state was kept as ${event.keptAs}`}`
    case 'retrying':
      return `cannot go on at ${at(event.position)}, trying again: ${event.reason}`
    case 'stopped':
      return `stopped at ${at(event.position)}`
  }
}

function at(position: Position | undefined): string {
  return position === undefined ? 'the beginning' : `transaction ${formatTXID(position.txid)}`
}
