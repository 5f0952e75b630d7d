/** Options that `ltxd worker` and `ltxd scheduler` share. */

import type { Command } from 'commander'
import type { Config } from '../../config/config.ts'
import { loadConfig } from '../../config/load.ts'
import { UsageError } from '../../util/errors.ts'
import { type ConfigOption, flagsOf } from './config-options.ts'

const FLAGS: readonly ConfigOption[] = [
  { option: '--redis', key: 'redis', path: ['redis', 'url'], variable: 'LTXD_REDIS_URL' },
  { option: '--backup', key: 'backup', path: ['backup', 'url'] },
  { option: '--log-level', key: 'logLevel', path: ['log', 'level'] },
  { option: '--log-format', key: 'logFormat', path: ['log', 'format'] },
]

export function addQueueOptions(command: Command): Command {
  return command
    .option(
      '--redis <url>',
      'the Redis that holds the queues, redis://HOST:PORT; with a password: LTXD_REDIS_URL in the environment ' +
        '(redis.url)',
    )
    .option('--log-level <level>', 'trace, debug, info, warn or error (log.level)')
    .option('--log-format <format>', 'text or json (log.format)')
}

export interface QueueConfig {
  readonly config: Config
  readonly redisUrl: string
}

/** With DEBUG=* in the environment ioredis, which is not loaded yet, would print each command: the password, too. */
function muteIoredis(environment = process.env): void {
  if (environment.DEBUG !== undefined) environment.DEBUG += ',-ioredis:*'
}

/** The effective configuration. Throws UsageError if it names no Redis. */
export function loadQueueConfig(command: Command): QueueConfig {
  muteIoredis()
  const options: Record<string, unknown> = command.optsWithGlobals()
  const flags = flagsOf(FLAGS, options)
  const config = loadConfig({ flags, ...(typeof options.config === 'string' ? { file: options.config } : {}) })
  if (config.redis === undefined) {
    throw new UsageError(
      'no Redis for the queues: give one, as in "--redis redis://127.0.0.1:6379", or set LTXD_REDIS_URL, or redis.url ' +
        'in ltxd.yml',
    )
  }
  return { config, redisUrl: config.redis.url }
}
