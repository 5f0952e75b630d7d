import type { Command } from 'commander'
import { UsageError } from '../../util/errors.ts'

/** What followed `--`; undefined where nothing did. */
export function applicationOf(command: Command): readonly string[] | undefined {
  const application: unknown = command.optsWithGlobals().application
  if (application === undefined) return undefined
  if (Array.isArray(application) && application.length > 0) return application as string[]
  throw new UsageError('nothing follows "--": expected a command to run')
}
