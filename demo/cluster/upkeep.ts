import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { QueueEvents } from 'bullmq'
import { BackgroundCommand } from '../../test/harness/background.ts'
import { enqueue } from '../../workers/enqueue.ts'
import { KEY_PREFIX } from '../../workers/queues.ts'
import type { Stage } from '../stage.ts'
import { writeConfiguration } from './configuration.ts'
import type { Services } from './services.ts'

const READY_DEADLINE_MS = 30_000
const JOB_DEADLINE_MS = 30_000

/** `ltxd worker` and `ltxd scheduler`: they maintain the backup, and restore on request. */
export class Upkeep {
  readonly outputDir: string
  readonly #services: Services
  readonly #commands: readonly BackgroundCommand[]

  private constructor(services: Services, outputDir: string, commands: readonly BackgroundCommand[]) {
    this.#services = services
    this.outputDir = outputDir
    this.#commands = commands
  }

  /** Resolves once both are running. */
  static async start({ base, story, cleanup }: Stage, services: Services): Promise<Upkeep> {
    const outputDir = join(base, 'restored')
    mkdirSync(outputDir)
    const config = join(base, 'upkeep.yml')
    writeConfiguration(config, 'upkeep', services)
    const lines = [
      ['worker', '--config', config, '--output-dir', outputDir],
      ['scheduler', '--config', config, '--discover', '1s'],
    ]
    const commands = lines.map(([name = '', ...args]) => {
      story.detail(['ltxd', name, ...args].join(' '))
      return cleanup.own(
        name,
        () => new BackgroundCommand([name, ...args], join(base, `${name}.log`)),
        async (command) => void (await command.stop('SIGKILL')),
      )
    })
    await Promise.all(commands.map((command) => command.said(/(worker|scheduler) ready/, READY_DEADLINE_MS)))
    return new Upkeep(services, outputDir, commands)
  }

  /** Requests a restore as any program can, and waits for the worker. Returns the file. */
  async restore(database: string, timestamp: string): Promise<{ readonly file: string; readonly txid: bigint }> {
    const { redis, backup } = this.#services
    const [asking, listening] = [redis.client(), redis.client()]
    const events = new QueueEvents('restore', { connection: listening, prefix: KEY_PREFIX })
    try {
      await events.waitUntilReady()
      const target = { kind: 'timestamp', timestamp } as const
      const job = await enqueue(asking, 'restore', { backup, database, target, output: { path: database } })
      const { txid, output } = await job.waitUntilFinished(events, JOB_DEADLINE_MS)
      return { file: join(this.outputDir, output), txid: BigInt(`0x${txid}`) }
    } finally {
      await events.close()
      listening.disconnect()
      asking.disconnect()
    }
  }

  /** Sends SIGTERM. Both must exit with 0. */
  async stop(): Promise<void> {
    for (const command of this.#commands) {
      const exit = await command.stop()
      if (exit !== 0) throw new Error(`a worker or scheduler ended with ${exit} instead of 0 on SIGTERM`)
    }
  }
}
