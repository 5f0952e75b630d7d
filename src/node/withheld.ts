import { setTimeout as delay } from 'node:timers/promises'
import { loadHistory } from '../backup/history/history.ts'
import { PromptStore } from '../objectstore/stores/prompt-store.ts'
import { LateReplica, type LateReplicaOptions } from '../replica/late-replica.ts'
import { errorMessage, LtxdError } from '../util/errors.ts'
import type { Checkpoints } from './checkpoints.ts'
import type { NodeBackup } from './node-backup.ts'
import { takeOverOne } from './take-over.ts'
import type { TakenOver } from './taken-over.ts'
import { markWithheld } from './withheld-mark.ts'

export interface WithheldOptions extends LateReplicaOptions {
  readonly backup: Pick<NodeBackup, 'store' | 'resume'>
  readonly checkpoints: Pick<Checkpoints, 'resume'> | undefined
  /** As at the take-over. */
  readonly localTerm: bigint
  readonly term: bigint
}

const FIRST_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 15_000

/**
 * The databases that this node does not lead although it leads, because what their backup may have could not be read.
 * Each is taken over again and again, with growing pauses, and led once that succeeds.
 */
export class Withheld {
  readonly #options: WithheldOptions
  readonly #reasons: Map<string, string>
  readonly #stopping = new AbortController()
  readonly #replicas = new Set<LateReplica>()
  #running: Promise<unknown> = Promise.resolve()

  private constructor(reasons: ReadonlyMap<string, string>, options: WithheldOptions) {
    this.#options = options
    this.#reasons = new Map(reasons)
  }

  /** Called when this node leads. */
  static start(reasons: ReadonlyMap<string, string>, options: WithheldOptions): Withheld | undefined {
    if (reasons.size === 0) return undefined
    const withheld = new Withheld(reasons, options)
    withheld.#running = withheld.#retry()
    return withheld
  }

  /** This node leads no longer. Resolves when nothing more is applied. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('this node leads no longer'))
    for (const replica of this.#replicas) replica.abort()
    await this.#running
  }

  /** One database after the other: each attempt may need a process. */
  async #retry(): Promise<void> {
    const { signal } = this.#stopping
    for (let waitMs = FIRST_RETRY_MS; this.#reasons.size > 0; waitMs = Math.min(2 * waitMs, LONGEST_RETRY_MS)) {
      await delay(waitMs, undefined, { signal, ref: false }).catch(() => undefined)
      for (const name of [...this.#reasons.keys()]) {
        if (signal.aborted) return
        await this.#attempt(name).catch((error: unknown) => this.#failed(name, error))
      }
    }
  }

  async #attempt(name: string): Promise<void> {
    const { backup, logger } = this.#options
    const { signal } = this.#stopping
    const store = new PromptStore(backup.store, signal)
    const replica = new LateReplica(name, this.#options)
    this.#replicas.add(replica)
    try {
      const context = { ...this.#options, replica, signal }
      const takenOver = await takeOverOne(context, store, await loadHistory(store, name))
      await replica.finish(() => this.#lead(name, takenOver))
    } finally {
      this.#replicas.delete(replica)
      await replica.close()
    }
    logger.info({ database: name }, 'the backup of the database can be read again: it is led from now on')
  }

  #lead(name: string, takenOver: TakenOver): void {
    const { backup, checkpoints, data, plane } = this.#options
    this.#stopping.signal.throwIfAborted()
    // During a handoff it is settled what others must have.
    if (!plane.shared.leads) throw new LtxdError('FENCED', 'this node takes no commits at the moment')
    markWithheld(
      data,
      [...this.#reasons.keys()].filter((other) => other !== name),
    )
    this.#reasons.delete(name)
    plane.withheld.reasons = this.#reasons
    backup.resume(name, takenOver)
    checkpoints?.resume(name)
    plane.shared.wake()
    if (this.#reasons.size === 0) data.hasHistoryOf(this.#options.term)
  }

  /** Logs each new reason once. */
  #failed(name: string, error: unknown): void {
    if (this.#stopping.signal.aborted) return
    const { plane, logger } = this.#options
    if (!this.#reasons.has(name))
      return logger.warn({ database: name, err: error }, 'the local client did not end well')
    const reason = errorMessage(error)
    if (reason === this.#reasons.get(name)) return
    logger.error({ database: name, err: error }, 'a database still cannot be taken over; it is retried')
    this.#reasons.set(name, reason)
    plane.withheld.reasons = this.#reasons
  }
}
