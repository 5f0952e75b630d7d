import type { Command } from 'commander'
import type { Flag } from '../../config/load.ts'
import type { VerifyCommandOptions } from './backup/verify.ts'

interface Options {
  readonly json?: true
}

interface PruneOptions extends Options {
  readonly snapshotRetention?: string
  readonly level0Retention?: string
  readonly dryRun?: true
}

export function register(program: Command): void {
  const backup = program
    .command('backup')
    .summary('inspect a backup: list, verify, prune')
    .description('List the contents of a backup, verify them, and delete what retention no longer protects.')
  backup
    .command('list')
    .summary('list the databases of a backup, or the files of one database')
    .description(
      'List the databases of a backup. With DB, list the files of that database by level, and the range of ' +
        'transactions that can be restored.',
    )
    .argument('<url>', 'the backup, file:///DIR or s3://BUCKET/PREFIX')
    .argument('[db]', 'only this database')
    .option('--json', 'as JSON')
    .action(async (url: string, database: string | undefined, options: Options) => {
      const { listDatabases, listFiles } = await import('./backup/list.ts')
      if (database === undefined) await listDatabases(url, options.json === true)
      else await listFiles(url, database, options.json === true)
    })
  backup
    .command('verify')
    .summary('read a whole backup and verify it')
    .description(
      'Read every object of a backup and verify that each decodes, that names match headers, that the checksums form ' +
        'one history, that replaying the files yields these checksums, and that the newest state can be restored. ' +
        'Exit code 1 if any of this fails, or if there is nothing to verify. With --sample or --since only some ' +
        'objects are read, each by itself; those that the newest state needs are looked up.',
    )
    .argument('<url>', 'the backup, file:///DIR or s3://BUCKET/PREFIX')
    .argument('[db]', 'only this database')
    .option('--sample <n>', 'read only this many objects of each database, chosen at random')
    .option('--since <time>', 'read only objects that were stored since, such as 2026-01-31T12:00:00Z')
    .option('--json', 'as JSON')
    .action(async (url: string, database: string | undefined, options: VerifyCommandOptions) => {
      const { verify } = await import('./backup/verify.ts')
      await verify(url, database, options)
    })
  const prune = backup
    .command('prune')
    .summary('apply retention now')
    .description(
      'Delete now what a node or the workers would delete in time. The newest state, and every moment within the ' +
        'snapshot retention, stay restorable.',
    )
    .argument('<url>', 'the backup')
    .argument('[db]', 'only this database')
    .option('--snapshot-retention <duration>', 'how far back moments stay restorable (backup.snapshot.retention)')
    .option(
      '--level0-retention <duration>',
      'how long level 0 files stay after their compaction (backup.level0-retention)',
    )
    .option('--dry-run', 'list what would be deleted, and delete nothing')
    .option('--json', 'as JSON')
    .action(async (url: string, database: string | undefined, options: PruneOptions) => {
      const [{ pruneBackup }, { loadBackupConfig }] = await Promise.all([
        import('./backup/upkeep.ts'),
        import('./backup/config.ts'),
      ])
      const { snapshot, level0RetentionMs } = loadBackupConfig(prune, url, retentionFlags(options))
      const policy = { snapshotRetentionMs: snapshot.retentionMs, level0RetentionMs }
      await pruneBackup(url, database, policy, { dryRun: options.dryRun === true, json: options.json === true })
    })
}

/**
 * The configuration rejects a retention shorter than the interval of snapshots. A retention from the command line
 * therefore sets the interval too, which pruning does not use.
 */
function retentionFlags({ snapshotRetention, level0Retention }: PruneOptions): Flag[] {
  const flags: Flag[] = []
  if (snapshotRetention !== undefined) {
    const flag = '--snapshot-retention'
    flags.push({ flag, path: ['backup', 'snapshot', 'retention'], value: snapshotRetention })
    flags.push({ flag, path: ['backup', 'snapshot', 'interval'], value: snapshotRetention })
  }
  if (level0Retention !== undefined) {
    flags.push({ flag: '--level0-retention', path: ['backup', 'level0-retention'], value: level0Retention })
  }
  return flags
}
