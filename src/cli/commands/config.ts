import type { Command } from 'commander'
import { stringify } from 'yaml'
import { toFileValue } from '../../config/effective.ts'
import { addNodeOptions, loadNodeConfig } from '../options/node-options.ts'
import { printJson } from '../output/output.ts'

export function register(program: Command): void {
  const command = program
    .command('config')
    .summary('print the configuration in force')
    .description(
      'Check the configuration and print what is in force: defaults, ltxd.yml, and the same options as "mount" takes.',
    )
    .usage('[DIR] [OPTIONS] [-- CMD ...]')
  addNodeOptions(command)
    .option('--json', 'as JSON')
    .action((dir: string | undefined, options: { json?: true }) => {
      const config = loadNodeConfig(command, dir)
      const value = toFileValue(config)
      if (options.json === true) return printJson({ file: config.file ?? null, ...value })
      process.stdout.write(`# ${config.file === undefined ? 'no ltxd.yml found: defaults' : `from ${config.file}`}\n`)
      process.stdout.write(stringify(value, { lineWidth: 0 }))
    })
}
