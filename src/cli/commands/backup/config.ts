import type { Command } from 'commander'
import type { BackupConfig } from '../../../config/config.ts'
import { type Flag, loadConfig } from '../../../config/load.ts'

/** The effective backup configuration, with the URL from the command line. */
export function loadBackupConfig(command: Command, url: string, flags: readonly Flag[] = []): BackupConfig {
  const { config: file } = command.optsWithGlobals<{ config?: string }>()
  const { backup } = loadConfig({
    flags: [{ flag: 'URL', path: ['backup', 'url'], value: url }, ...flags],
    ...(file === undefined ? {} : { file }),
  })
  if (backup === undefined) throw new Error('a configuration with a backup URL has a backup')
  return backup
}
