import type { Command } from 'commander'
import { requireLinux } from '../../fuse/host/platform.ts'
import { handedOver } from '../../fuse/mount/handed-over.ts'
import { leaveAtOnce } from '../../supervisor/detach.ts'
import { stopWithNpx } from '../../supervisor/npx.ts'
import { supervise } from '../../supervisor/supervise.ts'
import { UsageError } from '../../util/errors.ts'
import { createLogger } from '../../util/log.ts'
import { addNodeOptions, loadNodeConfig } from '../options/node-options.ts'

const EXAMPLES = `
Examples:
  ltxd mount ./mnt --backup file:///var/backups/app
  ltxd mount ./mnt --data ./data -- node server.js

The program finds the mount point in LTXD_MOUNT. It gets the rest of the environment, too, but LTXD_BACKUP_URL,
LTXD_CONSUL_URL, LTXD_REDIS_URL and LTXD_STORES. When it exits, the node stops and exits with the same code.
SIGTERM and SIGINT stop the program, then the node. A second signal, at least a second later, forces the stop.`

export function register(program: Command): void {
  const command = program
    .command('mount')
    .summary('run a node: mount, replicate every transaction, supervise a program')
    .description('Run a node until a signal stops it, or until the program after "--" exits.')
    .usage('[DIR] [OPTIONS] [-- CMD ...]')
    .addHelpText('after', EXAMPLES)
  addNodeOptions(command).action(async (dir: string | undefined) => {
    requireLinux()
    const handed = dir === undefined ? undefined : handedOver(dir)
    const config = loadNodeConfig(command, handed?.mountPoint ?? dir)
    const mountDir = config.fuse.dir
    if (mountDir === undefined) {
      throw new UsageError('no mount point: name a directory, as in "ltxd mount DIR", or set fuse.dir in ltxd.yml')
    }
    const logger = createLogger(config.log)
    const { startNode } = await import('../../node/node.ts')
    process.exitCode = await supervise({
      start: (signal) => {
        stopWithNpx()
        return startNode(config, logger, { signal, handedOver: handed })
      },
      abandon: () => leaveAtOnce(mountDir),
      commands: config.exec,
      exitOnError: config.exitOnError,
      stopTimeoutMs: config.stopTimeoutMs,
      terminal: process.stdin.isTTY,
      logger,
    })
  })
}
