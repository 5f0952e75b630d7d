import { OUT_HEADER, WRITE_OUT } from '../fuse/protocol/kernel.ts'
import type { Reply } from '../fuse/protocol/reply.ts'
import type { Delays } from './delays.ts'
import type { SharedState } from './shared-state.ts'

const NONE = -1
const WRITTEN_LENGTH = OUT_HEADER.SIZE + WRITE_OUT.SIZE

/**
 * Which replies are delayed while a database is slowed down. In WAL mode that to the commit: only other writers wait
 * for it. In a rollback mode that to the first write of a transaction's journal, because at the commit readers would
 * wait too, and the kernel keeps a directory locked while a journal is removed.
 */
export class Pacing {
  readonly #delays: Delays
  readonly #state: SharedState
  #slot = NONE
  #commits = false

  constructor(delays: Delays, state: SharedState) {
    this.#delays = delays
    this.#state = state
  }

  /** The current request commits to that database, which is in WAL mode. */
  commits(slot: number): void {
    this.#slot = slot
    this.#commits = true
  }

  /** The current request begins the journal of a transaction. */
  begins(slot: number | undefined): void {
    this.#slot = slot ?? NONE
    this.#commits = false
  }

  /** The request has been answered. */
  ended(): void {
    this.#slot = NONE
  }

  /** Whether the reply, which is complete, is sent later by another thread. */
  holds({ words, length }: Reply): boolean {
    if (this.#slot === NONE || length !== WRITTEN_LENGTH) return false
    const at = OUT_HEADER.unique >> 2
    return this.#delays.hold(this.#slot, {
      uniqueLow: words[at] as number,
      uniqueHigh: words[at + 1] as number,
      size: words[(OUT_HEADER.SIZE + WRITE_OUT.size) >> 2] as number,
      deadlineNs: this.#commits ? this.#state.deadlineNs : 0n,
    })
  }
}
