/** Options that `ltxd worker` and `ltxd scheduler` share. */

import type { Command } from 'commander'
import type { Config } from '../../config/config.ts'
import { type Flag, loadConfig } from '../../config/load.ts'
import { UsageError } from '../../util/errors.ts'

const FLAGS = [
  { option: '--redis', key: 'redis', path: ['redis', 'url'] },
  { option: '--backup', key: 'backup', path: ['backup', 'url'] },
  { option: '--log-level', key: 'logLevel', path: ['log', 'level'] },
  { option: '--log-format', key: 'logFormat', path: ['log', 'format'] },
] as const

export function addQueueOptions(command: Command): Command {
  return command
    .option('--redis <url>', 'the Redis that holds the queues, redis://HOST:PORT (redis.url)')
    .option('--log-level <level>', 'trace, debug, info, warn or error (log.level)')
    .option('--log-format <format>', 'text or json (log.format)')
}

export interface QueueConfig {
  readonly config: Config
  readonly redisUrl: string
}

/** The effective configuration. Throws UsageError if it names no Redis. */
export function loadQueueConfig(command: Command): QueueConfig {
  const options: Record<string, unknown> = command.optsWithGlobals()
  const flags: Flag[] = []
  for (const { option, key, path } of FLAGS) {
    const value = options[key]
    if (typeof value === 'string') flags.push({ flag: option, path, value })
  }
  const config = loadConfig({ flags, ...(typeof options.config === 'string' ? { file: options.config } : {}) })
  if (config.redis === undefined) {
    throw new UsageError(
      'no Redis for the queues: give one, as in "--redis redis://127.0.0.1:6379", or set redis.url in ltxd.yml',
    )
  }
  return { config, redisUrl: config.redis.url }
}
