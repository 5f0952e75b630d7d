import type { Command } from 'commander'
import { requestPromotion } from '../../api/client.ts'
import { addFindOptions, addTimeoutOption, findNode, type NodeOptions, parseTimeout } from '../options/find-node.ts'
import { printJson, printLine } from '../output/output.ts'

interface Options extends NodeOptions {
  readonly timeout: string
  readonly json?: true
  readonly force?: true
}

const NOTES = `
The primary waits until this node has caught up, then passes the lease on, so no committed transaction is lost.
Exit code 1 if the node does not lead at the end.

A node never takes the lead by itself if another node has led since and the missing transactions are in no backup that
it can read. With --force it leads as soon as the lease is free and no primary answers. The missing transactions then
leave the history: a node that has them moves them to diverged/ when it returns.

Examples:
  ltxd promote --data ./data
  ltxd promote --http 127.0.0.1:20203
  ltxd promote --data ./data --force`

export function register(program: Command): void {
  const command = program
    .command('promote')
    .summary('make a running replica the primary')
    .description('Make a running replica the primary. It must be a candidate and connected to the current primary.')
    .addHelpText('after', NOTES)
  addTimeoutOption(addFindOptions(command))
    .option('--force', 'lead even without the transactions that a later primary committed')
    .option('--json', 'as JSON')
    .action(async () => {
      const options: Options = command.optsWithGlobals()
      const timeoutMs = parseTimeout(options.timeout)
      const answer = await requestPromotion(findNode(options), timeoutMs, { force: options.force === true })
      if (options.json === true) return printJson(answer)
      const term = answer.term === undefined ? '' : `, term ${answer.term}`
      printLine(`node ${answer.nodeId} leads${term}`)
    })
}
