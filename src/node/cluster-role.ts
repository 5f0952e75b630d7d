import { type Positions, positionsOf } from '../cluster/candidacy.ts'
import type { Left } from '../cluster/role/role-events.ts'
import type { Previous } from '../cluster/role/role-state.ts'
import type { Drained, RoleHost } from '../cluster/role-host.ts'
import { formatNodeId } from '../data/directory.ts'
import type { KnownNodes } from '../data/known-nodes.ts'
import type { Position } from '../ltx/format/types.ts'
import { Replica } from '../replica/replica.ts'
import { StreamServer } from '../stream/primary/server.ts'
import type { StreamedDatabase, StreamSource } from '../stream/primary/source.ts'
import type { NodeAddress, NodeName } from '../util/node-address.ts'
import type { ClusterRoleOptions } from './cluster-role-options.ts'
import { isBackedUp, mayBeAlone, shipTheRest } from './last-ship.ts'
import { Readiness } from './readiness.ts'
import { StreamedDatabases } from './streamed-databases.ts'
import { type Found, takeOverUnlessAway } from './take-over.ts'
import { Withheld } from './withheld.ts'

/** How long a node waits for a replica to have everything before it releases the lease. */
export const DRAIN_MS = 3_000
/** How long it waits before that for a commit that is under way. */
const FENCE_MS = 3_000
/** How long a replica that stops waits for its primary's word. */
const LEAVE_MS = 2_000

/** The actions of a node in each role. Membership decides which role that is. */
export class ClusterRole implements RoleHost, StreamSource {
  readonly readiness = new Readiness()
  readonly server: StreamServer
  readonly nodeId: string
  readonly hostname: string
  readonly temporaryParent: string
  readonly #options: ClusterRoleOptions
  readonly #streamed: StreamedDatabases
  #replica: Replica | undefined
  /** While this node leads and does not lead some database. */
  #withheld: Withheld | undefined
  #term: bigint | undefined
  #primary: NodeAddress | undefined
  /** Until then, uploads of earlier leaders may still reach the backup. */
  #uploadsMayRunUntilMs = 0
  #successor: string | undefined
  #drained = false

  constructor(options: ClusterRoleOptions) {
    const { data, self, logger } = options
    this.#options = options
    this.nodeId = formatNodeId(data.nodeId)
    this.hostname = self.hostname
    this.temporaryParent = data.files.at(`${data.dir}/temporary`)
    this.#streamed = new StreamedDatabases(data, options.plane, options.owners)
    this.server = new StreamServer(this, logger, { maxLagMs: options.maxLagMs })
  }

  get isReady(): boolean {
    return this.readiness.isReady
  }

  get replica(): Replica | undefined {
    return this.#replica
  }

  /** The hostname of the replica that had everything when this node drained; undefined when none had. */
  get successor(): string | undefined {
    return this.#successor
  }

  /** This node led when it stopped. */
  get ledLast(): boolean {
    return this.#drained
  }

  /** Called before applications can use the mount, so that none gets a write lock until this node leads. */
  async start(): Promise<void> {
    const replica = await this.#follower()
    void replica.idle().then(() => this.#options.roleWait.opened())
  }

  /** Called after membership has ended. */
  async stop(): Promise<void> {
    await this.server.close('the node stops')
    await this.#withheld?.stop()
    await this.#replica?.stop()
    this.#replica = undefined
    await this.#options.checkpoints?.stop()
  }

  // RoleHost: called by membership.

  knownTerm(): bigint {
    return this.#options.data.term()
  }

  ledTerm(): bigint {
    return this.#options.data.ledTerm()
  }

  historyTerm(): bigint {
    return this.#options.data.historyTerm()
  }

  unfit(): string | undefined {
    return this.#replica?.unfit()
  }

  async follow(primary: NodeAddress, term: bigint): Promise<void> {
    const { data, plane, roleWait } = this.#options
    roleWait.end()
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

  async stand(): Promise<Positions> {
    await this.idle()
    await this.#replica?.drain()
    const all = Array.from(this.#options.plane.databases.values())
    const served = all.filter(({ rejection }) => rejection === undefined)
    return positionsOf(served.map(({ name, state }) => [name, state().position.txid]))
  }

  async lead(term: bigint, signal: AbortSignal, previous: Previous): Promise<void> {
    const { data, plane, backup, checkpoints, isLeased, roleWait, logger } = this.#options
    const replica = await this.#follower()
    await replica.leave()
    await replica.applied(signal)
    roleWait.begin('writes')
    let found: Found | undefined
    const localTerm = data.historyTerm()
    try {
      const isLastLeaders = localTerm > 0n && previous.leader?.term === localTerm
      const context = { plane, replica, data, localTerm, isLastLeaders, term, logger, signal }
      found = backup && (await takeOverUnlessAway({ ...context, backup }, previous.ledHere))
      signal.throwIfAborted()
      data.led(term, (found?.withheld.size ?? 0) === 0)
      const { released, leader } = previous
      // It stopped, or it comes back as a replica. Nothing of it is only there.
      if (released && leader?.kept === 'elsewhere') this.known.part(leader.holder.nodeId)
      // It ends with or without success. After a failure the next role begins with another one.
      this.#replica = undefined
      // An application that waits for a lock writes as soon as it has it.
      await replica.stop(() => {
        this.#primary = undefined
        plane.shared.primaryHostname = undefined
        plane.withheld.reasons = found?.withheld ?? new Map()
        this.#term = term
        plane.shared.leads = true
        roleWait.end()
      })
    } finally {
      roleWait.end()
    }
    checkpoints?.start()
    const notBeforeMs = previous.uploadsMayRunUntilMs
    const lease = found && isLeased ? { term, notBeforeMs, takenOver: found.takenOver } : undefined
    backup?.lead(plane, lease)
    if (backup && found) this.#withheld = Withheld.start(found.withheld, { ...this.#options, backup, localTerm, term })
    this.#uploadsMayRunUntilMs = notBeforeMs
    this.readiness.become()
  }

  extend(deadlineNs: bigint): void {
    this.#options.plane.shared.deadlineNs = deadlineNs
  }

  async stepDown(): Promise<void> {
    // Until it has everything that its primary has, or leads again.
    this.readiness.isReady = false
    const { plane, backup, checkpoints } = this.#options
    plane.shared.deadlineNs = 0n
    const fenced = plane.fence(FENCE_MS)
    this.#term = undefined
    plane.shared.wake()
    const ended = await Promise.allSettled([fenced, backup?.stepDown(), checkpoints?.stop(), this.#withheld?.stop()])
    this.#withheld = undefined
    plane.withheld.reasons = new Map()
    for (const end of ended) if (end.status === 'rejected') throw end.reason
    await this.#follower()
  }

  async drain(signal: AbortSignal, to?: string): Promise<Drained> {
    const { plane } = this.#options
    this.#drained = to === undefined
    let caughtUp: string | undefined
    try {
      await plane.fence(FENCE_MS)
      const waits = to !== undefined || this.server.replicas().some(({ leaving }) => !leaving)
      caughtUp = waits ? await this.server.caughtUp(DRAIN_MS, to) : undefined
      this.#successor = this.server.replicas().find(({ nodeId }) => nodeId === caughtUp)?.hostname ?? caughtUp
      // With a fixed primary no replica will ship the rest.
      if (to === undefined && (caughtUp === undefined || !this.#options.isLeased)) {
        if (waits && caughtUp === undefined)
          this.#options.logger.warn('no replica has every transaction of this node: shipping to the backup')
        const { backup, logger } = this.#options
        const hasCopy = caughtUp !== undefined || this.server.hasCopy()
        const uploadsMayRunUntilMs = this.#uploadsMayRunUntilMs
        return { kept: await shipTheRest({ backup, plane, uploadsMayRunUntilMs, hasCopy, logger }, signal) }
      }
    } finally {
      // The handoff failed: this node continues to lead.
      if (to !== undefined && caughtUp !== to) plane.shared.leads = true
    }
    return { successor: caughtUp, kept: caughtUp === undefined || mayBeAlone(plane) ? 'unknown' : 'elsewhere' }
  }

  async leave(signal: AbortSignal): Promise<Left> {
    const { backup, plane } = this.#options
    const told = (await this.#replica?.announceLeaving(LEAVE_MS)) ?? false
    return { told, safe: told || (await isBackedUp({ backup, plane }, signal)) }
  }

  knownNodes(): readonly NodeName[] {
    return this.known.list()
  }

  // StreamSource: what the primary streams to replicas.

  nodes(): readonly NodeName[] {
    return [{ nodeId: this.nodeId, hostname: this.hostname }, ...this.knownNodes()]
  }

  get known(): KnownNodes {
    return this.#options.data.knownNodes
  }

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

  withholds(): boolean {
    return this.#options.plane.withheld.reasons.size > 0
  }

  withheld(database: string): StreamedDatabase | undefined {
    return this.#streamed.withheld(database)
  }

  droppedAt(database: string): Position | undefined {
    return this.#options.plane.droppedAt(database)
  }

  paceCommits(database: string, intervalMs: number): void {
    this.#options.plane.paceCommits(database, intervalMs)
  }

  /** Only the position of the database's drop remains. */
  released(database: string): void {
    this.#streamed.released(database)
    this.#replica?.released(database)
  }

  changes(): number {
    return this.#options.plane.shared.changes
  }

  waitForChange(seen: number, timeoutMs: number): Promise<void> {
    return this.#options.plane.shared.waitForChange(seen, timeoutMs)
  }

  async #follower(): Promise<Replica> {
    if (this.#replica !== undefined) return this.#replica
    const { data, plane, mountDir, self, candidate, owners, reconnectMs, spoolBytes, roleWait, logger } = this.#options
    const replica = new Replica({
      ...{ data, plane, mountDir, self, candidate, owners, reconnectMs, spoolBytes, logger },
      heldUp: () => roleWait.end(),
      caughtUp: (term) => {
        if (term !== undefined) data.hasHistoryOf(term)
        this.readiness.become()
      },
    })
    this.#replica = replica
    await replica.start()
    return replica
  }
}
