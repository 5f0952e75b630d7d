import type { Command } from 'commander'
import { requestHandoff } from '../../api/client.ts'
import { addFindOptions, addTimeoutOption, findNode, type NodeOptions, parseTimeout } from '../options/find-node.ts'
import { printJson, printLine } from '../output/output.ts'

interface Options extends NodeOptions {
  readonly timeout: string
  readonly json?: true
}

const NOTES = `
NODE is the id or the hostname of a connected replica that is a candidate, as "ltxd status" shows them. The replica
catches up before it gets the lease, so no committed transaction is lost. Exit code 1 if the primary still leads.

Examples:
  ltxd handoff node-b --data ./data
  ltxd handoff 5f0c27a3b1d94e86 --http 127.0.0.1:20202`

export function register(program: Command): void {
  const command = program
    .command('handoff')
    .summary('hand the lead from the running primary to a replica')
    .description(
      'Hand the lead from the running primary to a replica. The old primary becomes a replica of the new one.',
    )
    .argument('<node>', 'the replica that takes the lead')
    .addHelpText('after', NOTES)
  addTimeoutOption(addFindOptions(command))
    .option('--json', 'as JSON')
    .action(async (node: string) => {
      const options: Options = command.optsWithGlobals()
      const timeoutMs = parseTimeout(options.timeout)
      const answer = await requestHandoff(findNode(options), node, timeoutMs)
      if (options.json === true) return printJson(answer)
      printLine(`node ${answer.nodeId} has handed the lead to ${node}`)
    })
}
