import type { Command } from 'commander'
import { VERSION } from '../../util/version.ts'
import { printJson, printLine } from '../output/output.ts'

export function register(program: Command): void {
  program
    .command('version')
    .summary('print the version')
    .description('Print the version of ltxd, of Node.js and of the platform.')
    .option('--json', 'as JSON')
    .action((options: { json?: true }) => {
      const { version: node, platform, arch } = process
      if (options.json === true) printJson({ version: VERSION, node, platform, arch })
      else printLine(`ltxd ${VERSION} (node ${node}, ${platform} ${arch})`)
    })
}
