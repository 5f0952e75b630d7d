import type { Command } from 'commander'
import { stringify } from 'yaml'
import { toFileValue } from '../../config/effective.ts'
import { addNodeOptions, loadNodeConfig } from '../options/node-options.ts'
import { printJson, printLine, printText } from '../output/output.ts'

export function register(program: Command): void {
  const command = program
    .command('config')
    .summary('print the effective configuration')
    .description(
      'Check the configuration and print the result of defaults, ltxd.yml and options. Takes the options of "mount".',
    )
    .usage('[DIR] [OPTIONS] [-- CMD ...]')
  addNodeOptions(command)
    .option('--json', 'as JSON')
    .action((dir: string | undefined, options: { json?: true }) => {
      const config = loadNodeConfig(command, dir)
      const value = toFileValue(config)
      if (options.json === true) return printJson({ file: config.file ?? null, ...value })
      printLine(`# ${config.file === undefined ? 'no ltxd.yml found, using defaults' : `from ${config.file}`}`)
      printText(stringify(value, { lineWidth: 0 }))
    })
}
