import { type Command, InvalidArgumentError, Option } from 'commander'
import { configuredSchedule } from '../../backup/upkeep/configured-schedule.ts'
import { UsageError } from '../../util/errors.ts'
import { parseDuration } from '../../util/units.ts'
import { addQueueOptions, loadQueueConfig } from '../options/queue-options.ts'

interface Options {
  readonly discover: number
}

const MIN_DISCOVER_MS = 1000

export function register(program: Command): void {
  const command = program
    .command('scheduler')
    .summary('schedule the jobs for every database in a backup')
    .description(
      'Find the databases in a backup, and maintain a schedule in Redis for each: compaction of its levels, ' +
        'snapshots and retention, at the intervals of the configuration. Runs until SIGTERM or SIGINT. Several ' +
        'schedulers may run at once: each schedule exists only once.',
    )
  addQueueOptions(command)
    .option('--backup <url>', 'the backup (backup.url)')
    .addOption(
      new Option('--discover <duration>', 'how often to check for new databases')
        .argParser(parseDiscover)
        .default(30_000, '30s'),
    )
    .action(async ({ discover: discoverIntervalMs }: Options) => {
      const { config, redisUrl } = loadQueueConfig(command)
      const { backup } = config
      if (backup === undefined) {
        throw new UsageError('no backup: give one with "--backup URL", or set backup.url in ltxd.yml')
      }
      const [{ Scheduler }, { createLogger }, { serveAndExit }] = await Promise.all([
        import('../../../workers/scheduler.ts'),
        import('../../util/log.ts'),
        import('../output/service.ts'),
      ])
      const logger = createLogger(config.log)
      const schedule = configuredSchedule(backup)
      const scheduler = new Scheduler({ redisUrl, backup: backup.url, schedule, discoverIntervalMs, logger })
      const stop = async () => {
        await scheduler.stop(config.stopTimeoutMs)
        return true
      }
      await serveAndExit({ start: () => scheduler.start(), stop }, logger)
    })
}

function parseDiscover(text: string): number {
  const ms = parseDuration(text)
  if (ms !== undefined && ms >= MIN_DISCOVER_MS) return ms
  throw new InvalidArgumentError('expected a duration of 1s or more.')
}
