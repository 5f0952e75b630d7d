import { type Command, InvalidArgumentError } from 'commander'
import { MAX_COMPACTION_LEVEL } from '../../backup/history/layout.ts'

interface Options {
  readonly level?: number
  readonly json?: true
}

export function register(program: Command): void {
  const command = program
    .command('compact')
    .summary("compact a database's backup, once")
    .description(
      'Compact each level of a backup into the next: all levels of the configuration (backup.levels), or only one. ' +
        'Levels that are up to date do not change. Safe to run beside a running node.',
    )
    .argument('<url>', 'the backup')
    .argument('<db>', "the database's name on the mount")
    .option('--level <n>', `only this level, 1 to ${MAX_COMPACTION_LEVEL}`, parseLevel)
    .option('--json', 'as JSON')
    .action(async (url: string, database: string, options: Options) => {
      const [{ compact }, { loadBackupConfig }] = await Promise.all([
        import('./backup/upkeep.ts'),
        import('./backup/config.ts'),
      ])
      const upTo = loadBackupConfig(command, url).levelIntervalsMs.length
      const levels = options.level === undefined ? { from: 1, to: upTo } : { from: options.level, to: options.level }
      await compact(url, database, levels, options.json === true)
    })
}

function parseLevel(text: string): number {
  const level = Number(text)
  if (Number.isInteger(level) && level >= 1 && level <= MAX_COMPACTION_LEVEL) return level
  throw new InvalidArgumentError(`expected a level from 1 to ${MAX_COMPACTION_LEVEL}.`)
}
