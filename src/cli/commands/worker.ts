import { resolve } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { QUEUE_NAMES, type QueueName } from '../../../workers/queues.ts'
import {
  BACKUP_STORE,
  parseStoreDefinition,
  type StoreDefinition,
  storesOfEnvironment,
} from '../../../workers/store-definitions.ts'
import { UsageError } from '../../util/errors.ts'
import { parseDuration } from '../../util/units.ts'
import { addQueueOptions, loadQueueConfig } from '../options/queue-options.ts'

interface Options {
  readonly queues: readonly QueueName[]
  readonly concurrency: number
  readonly store: readonly StoreDefinition[]
  readonly outputDir?: string
  readonly lockTime: number
}

const MAX_CONCURRENCY = 64
const MIN_LOCK_MS = 1000

export function register(program: Command): void {
  const command = program
    .command('worker')
    .summary('take jobs from the queues: compact, snapshot, retain, restore')
    .description(
      'Do what is queued in Redis, until SIGTERM or SIGINT. Any number of workers may run, on any machine that reaches Redis and ' +
        'the backup; what one that dies had in hand is done by another. Jobs may use only the stores that this worker is given: ' +
        '--store, LTXD_STORES in the environment ("NAME=URL NAME=URL"), and backup.url of ltxd.yml, named "backup". Credentials of ' +
        'a bucket come from the environment (AWS_ACCESS_KEY_ID …).',
    )
  addQueueOptions(command)
    .addOption(
      new Option('--store <name=url>', 'jobs may use this store, file:///DIR or s3://BUCKET/PREFIX; repeatable')
        .argParser((text: string, before: readonly StoreDefinition[]) => [...before, parseStore(text)])
        .default([], 'backup.url'),
    )
    .addOption(
      new Option('--queues <list>', 'these queues alone')
        .argParser(parseQueues)
        .default([...QUEUE_NAMES], QUEUE_NAMES.join(',')),
    )
    .option('--concurrency <n>', 'compactions at a time, and restores; half as many snapshots', parseConcurrency, 2)
    .option('--output-dir <dir>', 'restores may write files below it; without it, only objects')
    .addOption(
      new Option('--lock-time <duration>', 'the jobs of a worker that died are done again after this')
        .argParser(parseLockTime)
        .default(30_000, '30s'),
    )
    .action(async ({ store: given, queues, concurrency, outputDir, lockTime: lockMs }: Options) => {
      const { config, redisUrl } = loadQueueConfig(command)
      const definitions = definedStores(given, config.backup?.url)
      const [{ Stores }, { WorkerPool }, { createLogger }, { serveAndExit }] = await Promise.all([
        import('../../../workers/stores.ts'),
        import('../../../workers/pool.ts'),
        import('../../util/log.ts'),
        import('../output/service.ts'),
      ])
      const stores = new Stores(definitions)
      const logger = createLogger(config.log)
      const output = outputDir === undefined ? {} : { outputDir: resolve(outputDir) }
      const pool = new WorkerPool({ redisUrl, queues, concurrency, lockMs, stores, logger, ...output })
      await serveAndExit({ start: () => pool.start(), stop: () => pool.stop(config.stopTimeoutMs) }, logger)
    })
}

function parseStore(text: string): StoreDefinition {
  return parseStoreDefinition(text, '--store')
}

/** Throws UsageError where nothing defines a store: such a worker could do no job. */
function definedStores(given: readonly StoreDefinition[], backup: string | undefined): StoreDefinition[] {
  const all = [...given, ...storesOfEnvironment()]
  if (backup !== undefined) all.push({ name: BACKUP_STORE, url: backup })
  if (all.length > 0) return all
  throw new UsageError(
    'no store for the jobs: give each, as in "--store NAME=URL", or set LTXD_STORES, or backup.url in ltxd.yml',
  )
}

function parseQueues(text: string): QueueName[] {
  const names = [...new Set(text.split(',').map((name) => name.trim()))]
  const unknown = names.find((name) => !(QUEUE_NAMES as readonly string[]).includes(name))
  if (unknown === undefined) return names as QueueName[]
  throw new InvalidArgumentError(`"${unknown}" is not one of ${QUEUE_NAMES.join(', ')}.`)
}

function parseConcurrency(text: string): number {
  const count = Number(text)
  if (Number.isInteger(count) && count >= 1 && count <= MAX_CONCURRENCY) return count
  throw new InvalidArgumentError(`expected a number from 1 to ${MAX_CONCURRENCY}.`)
}

function parseLockTime(text: string): number {
  const ms = parseDuration(text)
  if (ms !== undefined && ms >= MIN_LOCK_MS) return ms
  throw new InvalidArgumentError('expected a duration of 1s or more.')
}
