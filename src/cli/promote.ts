import type { Command } from 'commander'
import { askForPromotion } from '../api/client.ts'
import { addFindOptions, addTimeoutOption, findNode, parseTimeout, type NodeOptions } from './find-node.ts'
import { printJson } from './output.ts'

interface Options extends NodeOptions {
  readonly timeout: string
  readonly json?: true
}

const NOTES = `
The primary lets this node catch up and passes its lease on; nothing that was committed is lost.
Of the primary it asks nothing. Exit code 1 when the node does not lead at the end.

Examples:
  ltxd promote --data ./data
  ltxd promote --http 127.0.0.1:20203`

export function register(program: Command): void {
  const command = program
    .command('promote')
    .summary('make a running replica the primary')
    .description('Make a running replica the primary: it must be a candidate, and connected to the one that leads.')
    .addHelpText('after', NOTES)
  addTimeoutOption(addFindOptions(command))
    .option('--json', 'as JSON')
    .action(async () => {
      const options: Options = command.optsWithGlobals()
      const timeoutMs = parseTimeout(options.timeout)
      const answer = await askForPromotion(await findNode(options), timeoutMs)
      if (options.json === true) return printJson(answer)
      const term = answer.term === undefined ? '' : `, term ${answer.term}`
      process.stdout.write(`node ${answer.nodeId} leads${term}\n`)
    })
}
