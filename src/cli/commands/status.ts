import type { Command } from 'commander'
import { fetchStatus } from '../../api/client.ts'
import { addFindOptions, findNode, type NodeOptions } from '../options/find-node.ts'
import { printJson, printText } from '../output/output.ts'
import { formatStatus } from '../output/status-text.ts'

interface Options extends NodeOptions {
  readonly json?: true
}

export function register(program: Command): void {
  const command = program
    .command('status')
    .summary('show the state of a running node')
    .description(
      'Show the state of a running node: its role and its peers, its databases with their positions, and how far the ' +
        'backup is behind, and when it was last found to be restorable. Exit code 1 if no node answers, or if the node does not serve one of its databases.',
    )
  addFindOptions(command)
    .option('--json', 'as JSON')
    .action(async () => {
      const options: Options = command.optsWithGlobals()
      const status = await fetchStatus(findNode(options))
      if (options.json === true) printJson(status)
      else printText(formatStatus(status, Date.now()))
      if (status.databases.some(({ error }) => error !== undefined)) process.exitCode = 1
    })
}
