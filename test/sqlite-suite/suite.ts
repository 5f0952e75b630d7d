import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Cleanup } from '../harness/cleanup.ts'
import { compare, type Difference, LOG, type Run } from './compare.ts'
import { MountSide, type NodeSettings } from './mount-side.ts'
import type { Alarms } from './node-log.ts'
import { HungError, runJob } from './processes.ts'
import type { Script } from './scripts.ts'

export interface SuiteOptions extends NodeSettings {
  /** A new directory. The run writes only below it. */
  readonly base: string
  readonly jobs: number
  /** The time for each script on each side. */
  readonly limitS: number
  /** Called after each script. The alarms of its node come later. */
  readonly progress: (outcome: Outcome) => void
  /** Called after each batch, with its outcomes. */
  readonly save: (outcomes: readonly Outcome[]) => void
}

/** A script's runs on both sides. */
export interface Outcome {
  readonly script: string
  /** The number of results on the plain directory. */
  readonly checks: number
  readonly plainS: number
  readonly mountS: number
  /** The alarms of the node are added after its batch. */
  readonly differences: Difference[]
}

/** The scripts that share a node. */
const BATCH = 8

/** Runs all scripts, several at a time, each on a plain directory and then on a mount. */
export async function runSuite(
  scripts: readonly Script[],
  options: SuiteOptions,
  cleanup: Cleanup,
): Promise<Outcome[]> {
  const queue = [...scripts]
  const outcomes: Outcome[] = []
  let batches = 0
  const worker = async () => {
    while (queue.length > 0) {
      const batch = new Batch(join(options.base, String(batches++).padStart(3, '0')), options, cleanup)
      const done = await batch.run(queue)
      options.save(done)
      outcomes.push(...done)
    }
  }
  await Promise.all(Array.from({ length: options.jobs }, worker))
  return outcomes
}

class Batch {
  readonly #base: string
  readonly #options: SuiteOptions
  readonly #cleanup: Cleanup

  constructor(base: string, options: SuiteOptions, cleanup: Cleanup) {
    this.#base = base
    this.#options = options
    this.#cleanup = cleanup
  }

  /** Takes scripts from the queue until its node has served enough, or does not answer any more. */
  async run(queue: Script[]): Promise<Outcome[]> {
    mkdirSync(join(this.#base, 'output'), { recursive: true })
    const side = await MountSide.start(join(this.#base, 'node'), this.#options, this.#cleanup)
    const outcomes: Outcome[] = []
    for (let script = queue.shift(); script !== undefined; script = queue.shift()) {
      // Paths of both sides have the same length: some tests count what depends on it.
      const plain = await this.#run(script, 'plain', join(this.#base, 'disk', 'plain', script.name))
      const mount = await this.#run(script, 'mount', join(side.directory, script.name))
      const outcome = {
        script: script.name,
        checks: plain.results.count,
        plainS: plain.seconds,
        mountS: mount.seconds,
        differences: compare(plain, mount),
      }
      outcomes.push(outcome)
      this.#options.progress(outcome)
      if (outcomes.length === BATCH || mount.end.kind === 'time limit' || !side.serves) break
    }
    const alarms: Alarms = new Map()
    await side.finish(alarms)
    return withAlarms(outcomes, alarms)
  }

  async #run(script: Script, side: 'plain' | 'mount', directory: string): Promise<Run> {
    const outputFile = join(this.#base, 'output', `${script.name.replace('/', '-')}.${side}`)
    const { argv } = script
    const { end, seconds } = await runJob({ argv, directory, outputFile, limitS: this.#options.limitS }).catch(
      (error: unknown) => {
        // The end of the batch ends the node, and with it this process.
        if (error instanceof HungError) return { end: { kind: 'time limit' } as const, seconds: this.#options.limitS }
        throw error
      },
    )
    return { results: script.parse(readFileSync(outputFile, 'latin1')), end, seconds }
  }
}

/** Adds what the node's log says of a script; of none of them, to the last one of the batch. */
function withAlarms(outcomes: Outcome[], alarms: Alarms): Outcome[] {
  for (const [name, messages] of alarms) {
    const outcome = outcomes.find(({ script }) => script === name) ?? outcomes.at(-1)
    for (const message of messages)
      outcome?.differences.push({ check: `${LOG} ${message}`, plain: 'nothing', mount: 'in the log' })
  }
  return outcomes
}
