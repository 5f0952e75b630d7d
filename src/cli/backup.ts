import type { Command } from 'commander'

interface Options {
  readonly json?: true
}

export function register(program: Command): void {
  const backup = program
    .command('backup')
    .summary('look into a backup')
    .description('Look into a backup, and check all of it.')
  backup
    .command('list')
    .summary('databases of a backup, or the files of one')
    .description('Show the databases of a backup; of one database, its files by level and what can be restored.')
    .argument('<url>', 'the backup, file:///DIR')
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
    .argument('<url>', 'the backup, file:///DIR')
    .argument('[db]', 'one database')
    .option('--json', 'as JSON')
    .action(async (url: string, database: string | undefined, options: Options) => {
      const { verify } = await import('./backup/verify.ts')
      await verify(url, database, options.json === true)
    })
}
