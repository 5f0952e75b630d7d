import type { Lease, LeaseOutcome, LeaseRecord, LeaseView, LeaseWatcher, NodeAddress } from './lease.ts'

/** The last term in which a static primary has led: to acquire the lease is not to lead. */
export interface TermStore {
  /** 0 when the node has never led. */
  read(): bigint
}

/** The id of a primary of which only the address is known. */
export const UNKNOWN_NODE_ID = '0'.repeat(16)

export type StaticLeaseOptions =
  | { readonly primary: 'self'; readonly self: NodeAddress; readonly term: TermStore }
  /** Its record has the id UNKNOWN_NODE_ID. */
  | { readonly primary: { readonly hostname: string; readonly url: string } }

/**
 * A primary that is fixed by configuration. It leads from its start to its end, without a deadline. Nothing prevents
 * two nodes from being configured as primaries, but the term grows when another node becomes the primary, so replicas
 * notice.
 */
export class StaticLease implements Lease {
  readonly type = 'static'
  readonly ttlMs = Infinity
  readonly #options: StaticLeaseOptions
  #watcher: LeaseWatcher | undefined
  #view: LeaseView

  constructor(options: StaticLeaseOptions) {
    this.#options = options
    const fixed = { clusterId: '', ttlMs: Infinity, renewals: 0 }
    const record: LeaseRecord =
      options.primary === 'self'
        ? { ...fixed, term: 0n, holder: options.self, state: 'released' }
        : { ...fixed, term: 0n, holder: { nodeId: UNKNOWN_NODE_ID, ...options.primary }, state: 'held' }
    this.#view = { kind: 'record', record, version: '' }
  }

  /** The same term at each start, unless another node has led since. */
  chooseTerm(highest: bigint): bigint {
    if (this.#options.primary !== 'self') return highest
    const led = this.#options.term.read()
    return led > 0n && led >= highest ? led : highest + 1n
  }

  watch(watcher: LeaseWatcher): void {
    this.#watcher = watcher
    this.refresh()
  }

  refresh(): void {
    // Asynchronous, as with the other leases.
    queueMicrotask(() => this.#watcher?.seen(this.#view))
  }

  acquire(record: LeaseRecord): Promise<LeaseOutcome> {
    return this.renew(record)
  }

  renew(record: LeaseRecord): Promise<LeaseOutcome> {
    this.#view = { kind: 'record', record, version: '' }
    return Promise.resolve({ kind: 'done', view: this.#view })
  }

  release(record: LeaseRecord): Promise<LeaseOutcome> {
    return this.renew(record)
  }

  publish(): Promise<void> {
    return Promise.resolve()
  }

  candidacies(): Promise<readonly Uint8Array[]> {
    return Promise.resolve([])
  }

  close(): Promise<void> {
    this.#watcher = undefined
    return Promise.resolve()
  }
}
