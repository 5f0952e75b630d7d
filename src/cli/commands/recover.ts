import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { CaptureEvents } from '../../capture/events.ts'
import { loadConfig } from '../../config/load.ts'
import { modesOf } from '../../util/private-files.ts'
import { printJson, printNote, printText } from '../output/output.ts'

interface Options {
  readonly config?: string
  readonly data?: string
  readonly dryRun?: true
  readonly json?: true
}

const EXAMPLES = `
Examples:
  ltxd recover --dry-run
  ltxd recover --data ./data app.db

A node does the same when it starts. The node of the data directory must be stopped.`

export function register(program: Command): void {
  const command = program
    .command('recover')
    .summary('recover the databases of a stopped node after a crash, or show the plan')
    .description(
      'Recover databases to the state of their LTX log, without serving them. Exit code 1 if a database cannot be ' +
        'recovered, so that a node would not serve it.',
    )
    .argument('[db...]', 'only these databases, by their names on the mount')
    .option('--data <dir>', 'the data directory (data.dir, default ./ltxd-data)')
    .option('--dry-run', 'show what was found and what would be done, but change nothing')
    .option('--json', 'as JSON')
    .addHelpText('after', EXAMPLES)
  command.action(async (databases: readonly string[]) => {
    const options: Options = command.optsWithGlobals()
    const config = loadConfig(options.config === undefined ? {} : { file: options.config })
    const dir = options.data === undefined ? config.data.dir : resolve(options.data)
    const { databases: patterns, otherFiles } = config.fuse
    const [{ planDirectory, recoverDirectory }, { DatabaseFilter }, text] = await Promise.all([
      import('../../recovery/directory.ts'),
      import('../../capture/database-filter.ts'),
      import('../output/recover-text.ts'),
    ])
    const filter = new DatabaseFilter({ databases: patterns, otherFiles })
    if (options.dryRun === true) {
      const plans = planDirectory(dir, databases, filter, config.fuse.dir)
      if (options.json === true) printJson({ data: dir, databases: plans.map(text.planToJson) })
      else printText(plans.map(text.formatPlan).join('\n') || text.noDatabases(dir))
      if (plans.some(({ plan }) => plan.kind === 'refuse')) process.exitCode = 1
      return
    }
    const log: CaptureEvents['log'] = (level, message, fields) => {
      // The result covers each database. Warnings are the rest that a user has to know.
      if (level === 'warn') printNote(text.formatWarning(message, fields))
    }
    const recovered = recoverDirectory(
      dir,
      databases,
      config.data.segmentSizeBytes,
      log,
      filter,
      modesOf(config.data.mode),
      config.fuse.dir,
    )
    if (options.json === true) printJson({ data: dir, databases: recovered.map(text.resultToJson) })
    else printText(recovered.map(text.formatResult).join('') || text.noDatabases(dir))
    if (recovered.some(({ rejection }) => rejection !== undefined)) process.exitCode = 1
  })
}
