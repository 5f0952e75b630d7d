import type { Command } from 'commander'
import { requestHandoff } from '../../api/client.ts'
import { addFindOptions, addTimeoutOption, findNode, type NodeOptions, parseTimeout } from '../options/find-node.ts'
import { printJson } from '../output/output.ts'

interface Options extends NodeOptions {
  readonly timeout: string
  readonly json?: true
}

const NOTES = `
NODE is a connected replica that is a candidate: its id or its hostname, as "ltxd status" shows them. It gets what it lacks,
then the lease; nothing that was committed is lost. Exit code 1 when the primary keeps the lead.

Examples:
  ltxd handoff node-b --data ./data
  ltxd handoff 5f0c27a3b1d94e86 --http 127.0.0.1:20202`

export function register(program: Command): void {
  const command = program
    .command('handoff')
    .summary('let a replica take over from the running primary')
    .description('Let a replica take over from the running primary, which becomes its replica.')
    .argument('<node>', 'the replica that is to lead')
    .addHelpText('after', NOTES)
  addTimeoutOption(addFindOptions(command))
    .option('--json', 'as JSON')
    .action(async (node: string) => {
      const options: Options = command.optsWithGlobals()
      const timeoutMs = parseTimeout(options.timeout)
      const answer = await requestHandoff(await findNode(options), node, timeoutMs)
      if (options.json === true) return printJson(answer)
      process.stdout.write(`node ${answer.nodeId} has handed over to ${node}\n`)
    })
}
