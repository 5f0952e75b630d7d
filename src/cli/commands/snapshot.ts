import type { Command } from 'commander'

export function register(program: Command): void {
  program
    .command('snapshot')
    .summary("add a snapshot to a database's backup, once")
    .description(
      "Merge a database's files in the backup into one file of its newest state (level 9), so that a restore reads " +
        'less and retention can delete more. Needs no node, and is safe to run beside one.',
    )
    .argument('<url>', 'the backup')
    .argument('<db>', "the database's name on the mount")
    .option('--json', 'as JSON')
    .action(async (url: string, database: string, options: { readonly json?: true }) => {
      const { snapshot } = await import('./backup/upkeep.ts')
      await snapshot(url, database, options.json === true)
    })
}
