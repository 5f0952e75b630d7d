import type { Command } from 'commander'
import { UsageError } from '../../util/errors.ts'

/** The command line after `--`, or undefined without one. */
export function applicationOf(command: Command): readonly string[] | undefined {
  const application: unknown = command.optsWithGlobals().application
  if (application === undefined) return undefined
  if (Array.isArray(application) && application.length > 0) return application as string[]
  throw new UsageError('"--" must be followed by a command to run')
}
