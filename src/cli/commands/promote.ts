import type { Command } from 'commander'
import { requestPromotion } from '../../api/client.ts'
import { addFindOptions, addTimeoutOption, findNode, type NodeOptions, parseTimeout } from '../options/find-node.ts'
import { printJson } from '../output/output.ts'

interface Options extends NodeOptions {
  readonly timeout: string
  readonly json?: true
  readonly force?: true
}

const NOTES = `
The primary lets this node catch up and passes its lease on; nothing that was committed is lost.
Of the primary it asks nothing. Exit code 1 when the node does not lead at the end.

A node does not lead by itself while another led after all that it has, and it has no backup to get that from. With --force, and no primary that
answers, it does as soon as the lease is free. What it lacks is then no longer part of the history: whoever has it sets it aside under
diverged/ when it returns.

Examples:
  ltxd promote --data ./data
  ltxd promote --http 127.0.0.1:20203
  ltxd promote --data ./data --force`

export function register(program: Command): void {
  const command = program
    .command('promote')
    .summary('make a running replica the primary')
    .description('Make a running replica the primary: it must be a candidate, and connected to the one that leads.')
    .addHelpText('after', NOTES)
  addTimeoutOption(addFindOptions(command))
    .option('--force', 'lead even without what a later primary has committed')
    .option('--json', 'as JSON')
    .action(async () => {
      const options: Options = command.optsWithGlobals()
      const timeoutMs = parseTimeout(options.timeout)
      const answer = await requestPromotion(await findNode(options), timeoutMs, { force: options.force === true })
      if (options.json === true) return printJson(answer)
      const term = answer.term === undefined ? '' : `, term ${answer.term}`
      process.stdout.write(`node ${answer.nodeId} leads${term}\n`)
    })
}
