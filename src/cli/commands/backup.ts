import type { Command } from 'commander'
import type { Flag } from '../../config/load.ts'

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
    .summary('look into a backup, check it, prune it')
    .description('Look into a backup, check all of it, and delete what retention does not promise.')
  backup
    .command('list')
    .summary('databases of a backup, or the files of one')
    .description('Show the databases of a backup; of one database, its files by level and what can be restored.')
    .argument('<url>', 'the backup, file:///DIR or s3://BUCKET/PREFIX')
    .argument('[db]', 'one database')
    .option('--json', 'as JSON')
    .action(async (url: string, database: string | undefined, options: Options) => {
      const { listDatabases, listFiles } = await import('./backup/list.ts')
      if (database === undefined) await listDatabases(url, options.json === true)
      else await listFiles(url, database, options.json === true)
    })
  backup
    .command('verify')
    .summary('read all of a backup and check it')
    .description(
      'Read every object of a backup: each decodes, names agree with headers, checksums join into one history, replaying ' +
        'gives them, the newest state can be restored. Exit code 1 if not.',
    )
    .argument('<url>', 'the backup, file:///DIR or s3://BUCKET/PREFIX')
    .argument('[db]', 'one database')
    .option('--json', 'as JSON')
    .action(async (url: string, database: string | undefined, options: Options) => {
      const { verify } = await import('./backup/verify.ts')
      await verify(url, database, options.json === true)
    })
  const prune = backup
    .command('prune')
    .summary('apply retention now')
    .description(
      'Delete what retention does not promise: what a node, or the workers, would delete by themselves. The newest state, and ' +
        'every moment younger than the snapshot retention, stay restorable.',
    )
    .argument('<url>', 'the backup')
    .argument('[db]', 'one database')
    .option('--snapshot-retention <duration>', 'how far back moments stay restorable (backup.snapshot.retention)')
    .option('--level0-retention <duration>', 'how long files outlive their compaction (backup.level0-retention)')
    .option('--dry-run', 'delete nothing; list what would go')
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

/** A retention shorter than the snapshots' interval is refused as in the file, unless the interval follows it. */
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
