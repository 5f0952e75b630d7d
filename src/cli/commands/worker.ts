import { resolve } from 'node:path'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { QUEUE_NAMES, type QueueName } from '../../../workers/queues.ts'
import { parseDuration } from '../../util/units.ts'
import { addQueueOptions, loadQueueConfig } from '../options/queue-options.ts'

interface Options {
  readonly queues: readonly QueueName[]
  readonly concurrency: number
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
        'the backup; what one that dies had in hand is done by another.',
    )
  addQueueOptions(command)
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
    .action(async ({ queues, concurrency, outputDir, lockTime: lockMs }: Options) => {
      const { config, redisUrl } = loadQueueConfig(command)
      const [{ WorkerPool }, { createLogger }, { serveAndExit }] = await Promise.all([
        import('../../../workers/pool.ts'),
        import('../../util/log.ts'),
        import('../output/service.ts'),
      ])
      const logger = createLogger(config.log)
      const output = outputDir === undefined ? {} : { outputDir: resolve(outputDir) }
      const pool = new WorkerPool({ redisUrl, queues, concurrency, lockMs, logger, ...output })
      await serveAndExit({ start: () => pool.start(), stop: () => pool.stop(config.stopTimeoutMs) }, logger)
    })
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
