import type { Authority } from '../capture/authority.ts'
import type { Caller } from '../fuse/content.ts'
import { FOREVER_NS } from '../util/monotonic.ts'
import type { SharedState } from './shared-state.ts'
import type { WithheldDatabases } from './withheld.ts'

export interface ServingThread {
  isServing(): boolean
  /** The current request commits. */
  commits(): void
  /** On a replica, applications open databases read-only. */
  readonly opensReadOnly: boolean
  /** Whether a transaction holds a lock on the file with this backing inode number, or on its byte at `offset`. */
  isLocked(inode: number, offset?: number): boolean
}

/**
 * What the node's role, in shared memory, allows. Before it serves, the thread recovers: that restores this node's own
 * history, whoever leads. The node compares it with the primary's afterwards.
 */
export class NodeAuthority implements Authority {
  readonly #state: SharedState
  readonly #withheld: WithheldDatabases
  readonly #thread: ServingThread
  readonly #database: string | undefined

  /** Of one database, or without `database` of the node. */
  constructor(state: SharedState, withheld: WithheldDatabases, thread: ServingThread, database?: string) {
    this.#state = state
    this.#withheld = withheld
    this.#thread = thread
    this.#database = database
  }

  of(database: string): Authority {
    return new NodeAuthority(this.#state, this.#withheld, this.#thread, database)
  }

  get leads(): boolean {
    return !this.#thread.isServing() || (this.#state.leads && this.withheld === undefined)
  }

  get withheld(): string | undefined {
    const { reasons } = this.#withheld
    return reasons.size === 0 || this.#database === undefined ? undefined : reasons.get(this.#database)
  }

  get withheldNames(): Iterable<string> {
    return this.#withheld.reasons.keys()
  }

  mayCommit(): boolean {
    if (!this.#thread.isServing()) return true
    this.#thread.commits()
    this.#state.beginCommit()
    return mayAcknowledge(this.#state)
  }

  get deadlineNs(): bigint {
    return this.#thread.isServing() ? this.#state.deadlineNs : FOREVER_NS
  }

  mayAcknowledge(deadlineNs: bigint): boolean {
    return !this.#thread.isServing() || mayAcknowledge(this.#state, deadlineNs)
  }

  get primary() {
    return this.#state.primaryHostname
  }

  get awaiting() {
    return this.#state.awaiting
  }

  get opensReadOnly(): boolean {
    return this.#thread.opensReadOnly
  }

  isLocked(inode: number, offset?: number): boolean {
    return this.#thread.isLocked(inode, offset)
  }

  isClient({ tid }: Caller): boolean {
    return tid !== 0 && (tid === this.#state.clientPid || tid === this.#state.lateClientPid)
  }
}

/** I6: whether a lease holds, the one that held until `deadlineNs` or the present one. */
export function mayAcknowledge(state: SharedState, deadlineNs = 0n): boolean {
  const now = process.hrtime.bigint()
  return now < deadlineNs || (state.leads && now < state.deadlineNs)
}
