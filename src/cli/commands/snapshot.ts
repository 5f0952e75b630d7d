import type { Command } from 'commander'

export function register(program: Command): void {
  program
    .command('snapshot')
    .summary('make a snapshot in the backup of a database, once')
    .description(
      'Merge what the backup holds of a database into one file of its newest state (level 9), so that a restore reads less ' +
        'and retention can let go of more. Needs no node; safe beside a running one.',
    )
    .argument('<url>', 'the backup')
    .argument('<db>', 'the database, as it is named on the mount')
    .option('--json', 'as JSON')
    .action(async (url: string, database: string, options: { readonly json?: true }) => {
      const { snapshot } = await import('./backup/upkeep.ts')
      await snapshot(url, database, options.json === true)
    })
}
