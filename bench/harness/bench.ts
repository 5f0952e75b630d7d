import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Cleanup } from '../../test/harness/cleanup.ts'
import { LtxdNode, type NodeOptions } from '../../test/harness/ltxd-node.ts'
import { processorTimeUs, processTree } from '../../test/harness/processes.ts'
import { DeadlineError } from '../../test/harness/wait.ts'
import { Client, ClientError } from './client-process.ts'
import { type Line, type Outcome, type Round, summarize } from './figures.ts'
import { pinToFirstCore } from './pinning.ts'

/** The place of a measurement: a plain directory, or the mount of a node whose data is on the same file system. */
export interface Side {
  readonly name: 'native' | 'ltxd'
  readonly directory: string
  /** The daemon. Its processor time counts, with that of its child processes such as the local client. */
  readonly daemonPid?: number
}

export interface BenchOptions {
  /** A new directory. The run writes only below it. */
  readonly base: string
  readonly rounds: number
  readonly seconds: number
  readonly withBackup: boolean
  /** Bind clients and node to one core. Otherwise the kernel places them. */
  readonly oneCore: boolean
  /** The node serves databases as files like any other. */
  readonly plainFiles: boolean
  /** The node's `fuse.latency`. */
  readonly latency: 'normal' | 'low'
  /** The size of the database that a new replica fetches. */
  readonly megabytes: number
  readonly progress: (text: string) => void
}

/**
 * How to measure one line on either side. `start` starts clients and fills a database, and returns a function for each
 * round.
 */
export interface Measurement {
  readonly id: string
  readonly what: string
  start(side: Side, bench: Bench): Promise<(seconds: number) => Promise<Round['sample']>>
}

/**
 * Long enough for a WAL to reach the length at which it is overwritten instead of extended, if the workload gets there.
 */
const WARM_UP = { stepSeconds: 0.3, operations: 1_200, maxSeconds: 3 } as const

/** Runs measurements on both sides in turn, so that other load of the machine affects both alike. */
export class Bench {
  readonly options: BenchOptions
  readonly #cleanup: Cleanup
  readonly #clients = new Set<Client>()

  constructor(options: BenchOptions, cleanup: Cleanup) {
    this.options = options
    this.#cleanup = cleanup
  }

  client(): Client {
    const client = this.#cleanup.own(
      'client process',
      () => new Client(),
      (started) => started.kill(),
    )
    if (this.options.oneCore) pinToFirstCore(client.pid)
    this.#clients.add(client)
    return client
  }

  /** Makes a new native directory and a new node for one row, and removes both after `use`. */
  async withSides<T>(row: string, use: (sides: readonly [Side, Side]) => Promise<T>): Promise<T> {
    const base = join(this.options.base, row)
    const native: Side = { name: 'native', directory: join(base, 'native') }
    mkdirSync(native.directory, { recursive: true })
    const config = join(base, 'ltxd.yml')
    writeFileSync(
      config,
      `fuse: { latency: ${this.options.latency}${this.options.plainFiles ? ', databases: [none]' : ''} }\n`,
    )
    const options: NodeOptions = {
      arguments: ['--config', config],
      mount: join(base, 'mount'),
      data: join(base, 'data'),
      logFile: join(base, 'ltxd.log'),
      ...(this.options.withBackup && { backup: `file://${join(base, 'backup')}` }),
    }
    const node = this.node(options)
    await node.mounted()
    try {
      return await use([native, { name: 'ltxd', directory: node.options.mount, daemonPid: node.pid }])
    } catch (error) {
      throw node.explain(error)
    } finally {
      this.killClients()
      if (node.running) await node.stop()
    }
  }

  /** Starts a node that ends with the run, and does not wait for it. */
  node(options: NodeOptions): LtxdNode {
    const node = this.#cleanup.own(
      `node at ${options.mount}`,
      () => LtxdNode.start(options),
      (started) => started.destroy(),
    )
    if (this.options.oneCore) pinToFirstCore(node.pid)
    return node
  }

  /**
   * Measures A B A B …: a round on each side in turn, then the medians of each side. With a single side, only that one.
   */
  async compare(measurement: Measurement, sides: readonly Side[]): Promise<Line> {
    const turns: Turn[] = []
    for (const side of sides) turns.push(await this.#prepare(measurement, side))
    for (let round = 1; round <= this.options.rounds; round++) {
      for (const turn of turns) {
        this.options.progress(`${measurement.what}: ${turn.side.name}, round ${round} of ${this.options.rounds}`)
        await turn.round(this.options.seconds)
      }
    }
    this.killClients()
    const outcome = (name: Side['name']) => turns.find(({ side }) => side.name === name)?.outcome()
    const native = outcome('native')
    const ltxd = outcome('ltxd') as Outcome
    return { id: measurement.id, what: measurement.what, ...(native && { native }), ltxd }
  }

  async #prepare(measurement: Measurement, side: Side): Promise<Turn> {
    const turn = new Turn(side)
    await turn.attempt(async () => {
      const measure = await measurement.start(side, this)
      await warmUp(measure)
      turn.measure = measure
    })
    return turn
  }

  /** Closes the databases of the clients. */
  killClients(): void {
    for (const client of this.#clients) client.kill()
    this.#clients.clear()
  }
}

async function warmUp(measure: (seconds: number) => Promise<Round['sample']>): Promise<void> {
  let operations = 0
  let seconds = 0
  while (operations < WARM_UP.operations && seconds < WARM_UP.maxSeconds) {
    const sample = await measure(WARM_UP.stepSeconds)
    operations += sample.operations
    seconds += sample.seconds
  }
}

/** The rounds of one side in a measurement, up to the first error of SQLite's. */
class Turn {
  readonly side: Side
  measure: ((seconds: number) => Promise<Round['sample']>) | undefined
  readonly #rounds: Round[] = []
  #missing: string | undefined

  constructor(side: Side) {
    this.side = side
  }

  async round(seconds: number): Promise<void> {
    const measure = this.measure
    if (measure === undefined || this.#missing !== undefined) return
    await this.attempt(async () => {
      const before = this.#daemonTimeUs()
      const sample = await measure(seconds)
      const after = this.#daemonTimeUs()
      this.#rounds.push({ sample, daemonUs: before === undefined || after === undefined ? undefined : after - before })
    })
  }

  /**
   * An error of SQLite's, or a missing answer, is a result of this side. Any other error is a bug of the benchmark.
   */
  async attempt(step: () => Promise<void>): Promise<void> {
    try {
      await step()
    } catch (error) {
      if (!(error instanceof ClientError || error instanceof DeadlineError)) throw error
      this.#missing = error.message
    }
  }

  outcome(): Outcome {
    return this.#missing === undefined ? summarize(this.#rounds) : { missing: this.#missing }
  }

  #daemonTimeUs(): number | undefined {
    const { daemonPid } = this.side
    if (daemonPid === undefined) return undefined
    return processTree(daemonPid).reduce((sum, pid) => sum + (processorTimeUs(pid) ?? 0), 0)
  }
}
