/** Options of the commands that need a node's configuration, and the configuration that results. */

import type { Command } from 'commander'
import type { Config } from '../../config/config.ts'
import { type Flag, loadConfig } from '../../config/load.ts'
import { applicationOf } from './application.ts'
import { type ConfigOption, flagsOf } from './config-options.ts'

export const NODE_FLAGS: readonly ConfigOption[] = [
  { option: '--data', key: 'data', path: ['data', 'dir'] },
  { option: '--backup', key: 'backup', path: ['backup', 'url'] },
  { option: '--consul', key: 'consul', path: ['lease', 'consul', 'url'], variable: 'LTXD_CONSUL_URL' },
  { option: '--advertise-url', key: 'advertiseUrl', path: ['lease', 'advertise-url'] },
  { option: '--hostname', key: 'hostname', path: ['lease', 'hostname'] },
  { option: '--found', key: 'found', path: ['lease', 'found'], isSwitch: true, value: 'now' },
  { option: '--http', key: 'http', path: ['http', 'addr'] },
  { option: '--log-level', key: 'logLevel', path: ['log', 'level'] },
  { option: '--log-format', key: 'logFormat', path: ['log', 'format'] },
  { option: '--driver', key: 'driver', path: ['fuse', 'driver'] },
  { option: '--allow-other', key: 'allowOther', path: ['fuse', 'allow-other'], isSwitch: true },
]

export function addNodeOptions(command: Command): Command {
  return command
    .argument('[dir]', 'where to mount (fuse.dir)')
    .option('--data <dir>', 'directory for the databases and their logs (data.dir, default ./ltxd-data)')
    .option('--backup <url>', 'where to ship transactions, file:///DIR or s3://BUCKET/PREFIX (backup.url)')
    .option(
      '--consul <url>',
      'join the cluster whose lease is in this Consul, http://HOST:PORT; with a token: LTXD_CONSUL_URL in the ' +
        'environment (lease.consul.url)',
    )
    .option(
      '--advertise-url <url>',
      "the URL at which peers reach this node's API (lease.advertise-url, default: where it listens)",
    )
    .option(
      '--hostname <name>',
      "this node's name in messages and in .primary (lease.hostname, default: the machine's)",
    )
    .option('--found', 'found a new cluster at once, where the lease has no record (lease.found: now)')
    .option('--http <addr>', 'address of the API; port 0 picks a free port (http.addr, default 127.0.0.1:20202)')
    .option('--log-level <level>', 'trace, debug, info, warn or error (log.level)')
    .option('--log-format <format>', 'text or json (log.format)')
    .option('--driver <driver>', 'FUSE driver: direct, or fuse-native for libfuse 2 (fuse.driver, default direct)')
    .option('--allow-other', 'let other users access the mount (fuse.allow-other)')
}

/** The effective configuration: the file, overridden by the command line's options. */
export function loadNodeConfig(command: Command, dir?: string): Config {
  const options: Record<string, unknown> = command.optsWithGlobals()
  const flags: Flag[] = dir === undefined ? [] : [{ flag: 'DIR', path: ['fuse', 'dir'], value: dir }]
  flags.push(...flagsOf(NODE_FLAGS, options))
  const application = applicationOf(command)
  return loadConfig({
    flags,
    ...(typeof options.config === 'string' ? { file: options.config } : {}),
    ...(application === undefined ? {} : { application }),
  })
}
