import type { DataDirectory } from './data-directory.ts'
import { formatNodeId } from './data-directory.ts'
import type { DataPlane } from './dataplane.ts'
import type { NodeBackup } from './node-backup.ts'
import { Replica } from './replica.ts'
import { takeOver } from './take-over.ts'
import { StreamedDatabases } from './streamed-databases.ts'
import type { LeaseRecord } from '../cluster/lease.ts'
import type { RoleHost } from '../cluster/membership.ts'
import type { TXID } from '../ltx/types.ts'
import { StoreUnavailableError } from '../objectstore/errors.ts'
import type { NodeAddress } from '../stream/address.ts'
import { StreamServer } from '../stream/server.ts'
import type { StreamSource, StreamedDatabase } from '../stream/source.ts'
import type { Logger } from '../util/log.ts'

export interface ClusterRoleOptions {
  readonly data: DataDirectory
  readonly plane: DataPlane
  readonly backup: NodeBackup | undefined
  readonly mountDir: string
  readonly self: NodeAddress
  /** Others may lead: what is shipped carries the term. */
  readonly isLeased: boolean
  readonly reconnectMs: number
  readonly logger: Logger
}

/** How long a node that gives up its lease waits for a replica that has everything. */
const DRAIN_MS = 3_000
/** And, before that, for a commit that is under way. */
const FENCE_MS = 3_000

/** What a node does in each role: carries out what membership decides. */
export class ClusterRole implements RoleHost, StreamSource {
  /** Resolves when this node leads, or has everything that the primary had. */
  readonly ready: Promise<void>
  readonly server: StreamServer
  readonly nodeId: string
  readonly hostname: string
  readonly temporaryParent: string
  readonly #options: ClusterRoleOptions
  readonly #streamed: StreamedDatabases
  #replica: Replica | undefined
  #term: bigint | undefined
  #primary: NodeAddress | undefined
  #becomeReady: () => void = () => undefined
  #isReady = false

  constructor(options: ClusterRoleOptions) {
    const { data, self, logger } = options
    this.#options = options
    this.nodeId = formatNodeId(data.nodeId)
    this.hostname = self.hostname
    this.temporaryParent = `${data.dir}/temporary`
    this.#streamed = new StreamedDatabases(data, options.plane)
    this.server = new StreamServer(this, logger)
    this.ready = new Promise((resolve) => {
      this.#becomeReady = () => {
        this.#isReady = true
        resolve()
      }
    })
  }

  get isReady(): boolean {
    return this.#isReady
  }

  get replica(): Replica | undefined {
    return this.#replica
  }

  /** Before anyone else can use the mount: no application gets a write lock until this node leads. */
  async start(): Promise<void> {
    await this.#follower()
  }

  /** After membership has ended. */
  async stop(): Promise<void> {
    await this.server.close('the node stops')
    await this.#replica?.stop()
    this.#replica = undefined
  }

  // As membership wants it.

  knownTerm(): bigint {
    return this.#options.data.term()
  }

  /** An empty node begins a cluster, but does not go on with one: what the others have would not be part of its history. A backup it can ask. */
  unfit(record: LeaseRecord | undefined): string | undefined {
    const { data, backup } = this.#options
    const goesOn = record !== undefined && record.term > 0n
    if (goesOn && data.historyTerm() === 0n && backup === undefined) {
      return 'it has nothing of the history of this cluster yet'
    }
    return this.#replica?.unfit()
  }

  async follow(primary: NodeAddress, term: bigint): Promise<void> {
    const { data, plane } = this.#options
    data.sawTerm(term)
    this.#primary = primary
    plane.shared.primaryHostname = primary.hostname
    const replica = await this.#follower()
    await replica.follow(primary, term)
  }

  async idle(): Promise<void> {
    this.#primary = undefined
    this.#options.plane.shared.primaryHostname = undefined
    const replica = await this.#follower()
    await replica.leave()
  }

  async lead(
    term: bigint,
    signal: AbortSignal,
    { uploadsMayRunUntilMs }: { readonly uploadsMayRunUntilMs: number },
  ): Promise<void> {
    const { data, plane, backup, isLeased } = this.#options
    const replica = await this.#follower()
    await replica.leave()
    await replica.settled()
    const takenOverAt = backup && (await this.#takeOver(backup, replica, term, signal))
    signal.throwIfAborted()
    data.led(term)
    await replica.stop()
    this.#replica = undefined
    this.#primary = undefined
    plane.shared.primaryHostname = undefined
    this.#term = term
    plane.shared.leads = true
    const lease = takenOverAt && isLeased ? { term, notBeforeMs: uploadsMayRunUntilMs, takenOverAt } : undefined
    backup?.lead(plane, lease)
    this.#becomeReady()
  }

  extend(deadlineNs: bigint): void {
    this.#options.plane.shared.deadlineNs = deadlineNs
  }

  async stepDown(): Promise<void> {
    const { plane, backup } = this.#options
    plane.shared.deadlineNs = 0n
    const fenced = plane.fence(FENCE_MS)
    this.#term = undefined
    plane.shared.wake()
    await Promise.all([fenced, backup?.stepDown()])
    await this.#follower()
  }

  async drain(signal: AbortSignal, to?: string): Promise<string | undefined> {
    const { plane, backup } = this.#options
    let caughtUp: string | undefined
    try {
      await plane.fence(FENCE_MS)
      const waits = to !== undefined || this.server.replicas().length > 0
      caughtUp = waits ? await this.server.caughtUp(DRAIN_MS, to) : undefined
      if (to === undefined && caughtUp === undefined) {
        if (waits) this.#options.logger.warn('no replica has everything that was committed here')
        await backup?.ship(signal)
      }
    } finally {
      // Nothing comes of a handoff: this node leads on.
      if (to !== undefined && caughtUp !== to) plane.shared.leads = true
    }
    return caughtUp
  }

  // What replicas get from here.

  clusterId(): string {
    return this.#options.data.clusterId() ?? ''
  }

  term(): bigint | undefined {
    return this.#term
  }

  primary(): NodeAddress | undefined {
    return this.#primary
  }

  databases(): Iterable<StreamedDatabase> {
    return this.#streamed
  }

  changes(): number {
    return this.#options.plane.shared.changes
  }

  waitForChange(seen: number, timeoutMs: number): Promise<void> {
    return this.#options.plane.shared.waitForChange(seen, timeoutMs)
  }

  /** Where the backup does not answer, only its last writer may do without it: nobody else can have shipped anything since. */
  async #takeOver(
    backup: NodeBackup,
    replica: Replica,
    term: bigint,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, TXID>> {
    const { data, plane, logger } = this.#options
    try {
      return await takeOver({ backup, plane, replica, data, localTerm: data.historyTerm(), term, logger, signal })
    } catch (error) {
      if (!(error instanceof StoreUnavailableError) || data.ledTerm() === 0n || data.ledTerm() + 1n !== term)
        throw error
      logger.warn({ error: error.message }, 'leading again without a look at the backup, which does not answer')
      return new Map(Array.from(plane.databases.values(), ({ name, state }) => [name, state().position.txid]))
    }
  }

  async #follower(): Promise<Replica> {
    if (this.#replica !== undefined) return this.#replica
    const { data, plane, mountDir, self, reconnectMs, logger } = this.#options
    const replica = new Replica({
      data,
      plane,
      mountDir,
      self,
      reconnectMs,
      logger,
      caughtUp: (term) => {
        data.hasHistoryOf(term)
        this.#becomeReady()
      },
    })
    this.#replica = replica
    await replica.start()
    return replica
  }
}
