import type { Command } from 'commander'
import { fetchStatus } from '../../api/client.ts'
import { addFindOptions, findNode, type NodeOptions } from '../options/find-node.ts'
import { printJson } from '../output/output.ts'
import { formatStatus } from '../output/status-text.ts'

interface Options extends NodeOptions {
  readonly json?: true
}

export function register(program: Command): void {
  const command = program
    .command('status')
    .summary('show what a running node does')
    .description(
      'Show what a running node does: its role and its peers, its databases, their positions, and how far the backup ' +
        'is behind. Exit code 1 when no node answers, or when it does not serve a database.',
    )
  addFindOptions(command)
    .option('--json', 'as JSON')
    .action(async () => {
      const options: Options = command.optsWithGlobals()
      const status = await fetchStatus(await findNode(options))
      if (options.json === true) printJson(status)
      else process.stdout.write(formatStatus(status, Date.now()))
      if (status.databases.some(({ error }) => error !== undefined)) process.exitCode = 1
    })
}
