import { nowMs, toNs } from '../util/monotonic.ts'
import type { Positions } from './candidacy.ts'
import { HandoffError } from './errors.ts'
import { Handoff } from './handoff.ts'
import { ClusterMismatchError } from './lease/errors.ts'
import { LeaseWrites } from './lease-writes.ts'
import type { MembershipOptions } from './membership-options.ts'
import { next, wakeAtMs } from './role/role.ts'
import type { Effect, Event } from './role/role-events.ts'
import { INITIAL, type Rules, type State } from './role/role-state.ts'
import { RoleCalls } from './role-calls.ts'
import type { MembershipStatus } from './role-host.ts'
import { Troubles } from './troubles.ts'
import { missingHistory, noteWaits } from './waits.ts'

export type { MembershipStatus } from './role-host.ts'

const MAX_TIMER_MS = 2 ** 31 - 1

/** Runs the role (role.ts) of a node against a lease: turns occurrences into events, and effects into calls. */
export class Membership {
  /**
   * Resolves when the node has taken its first role. Rejects with CLUSTER_MISMATCH if it belongs to another cluster.
   */
  readonly roleTaken: Promise<void>
  readonly #options: MembershipOptions
  readonly #rules: Rules
  readonly #calls: RoleCalls
  readonly #troubles: Troubles
  readonly #stopped: Promise<void>
  #resolveStopped: () => void = () => {}
  #firstRole: { resolve: () => void; reject: (error: Error) => void } = { resolve: () => {}, reject: () => {} }
  #state: State = INITIAL
  #timer: NodeJS.Timeout | undefined
  #handoff: Handoff | undefined
  /** Other nodes or the backup have everything of this node, as far as its stop has found out. */
  #isSafe = false
  /** Operations on the lease, one after the other. */
  #operations: Promise<void> = Promise.resolve()
  readonly #writes: LeaseWrites

  constructor(options: MembershipOptions) {
    const { lease, host, self, candidate, demoteMs, uploadWindowMs, hasBackup, readClusterId, logger } = options
    const marginMs = lease.ttlMs === Infinity ? 0 : lease.ttlMs / 10
    const settleMs = lease.type === 'static' ? 0 : Math.min(lease.ttlMs / 10, 1_000)
    const { yieldMs = lease.ttlMs, found } = options
    this.#options = options
    const times = { ttlMs: lease.ttlMs, marginMs, settleMs, yieldMs, demoteMs, uploadWindowMs }
    this.#rules = { self, candidate, ...times, hasBackup, found }
    this.#troubles = new Troubles(logger, nowMs)
    const ledTerm = () => host.ledTerm()
    this.#writes = new LeaseWrites({ lease, self, readClusterId, ledTerm, logger, troubles: this.#troubles })
    this.#stopped = new Promise((resolve) => (this.#resolveStopped = resolve))
    this.roleTaken = new Promise((resolve, reject) => (this.#firstRole = { resolve, reject }))
    this.roleTaken.catch(() => {})
    this.#calls = new RoleCalls({
      ...{ host, troubles: this.#troubles, logger },
      isLeased: lease.type !== 'static',
      joinCluster: () => this.#joinCluster(),
      happened: (event) => this.#dispatch(event),
      roleTaken: (error) => {
        if (error instanceof ClusterMismatchError) this.#firstRole.reject(error)
        else this.#firstRole.resolve()
      },
      drainFailed: (reason) => this.#handoff?.drainFailed(reason),
    })
  }

  start(): void {
    this.#options.lease.watch({
      seen: (view) => {
        this.#troubles.over('read')
        const judged = this.#writes.judge(view)
        if (judged.kind !== 'foreign') this.#troubles.over('record')
        // Another node leads, so this node's failure to lead does not matter any more.
        if (judged.kind === 'record' && judged.record.lastLeader?.term === judged.record.term) {
          this.#troubles.forget('lead')
        }
        this.#dispatch({ type: 'seen', view: judged })
      },
      failed: (error) => {
        this.#troubles.began('read', error.message)
        this.#dispatch({ type: 'unreachable', reason: error.message })
      },
    })
  }

  status(): MembershipStatus {
    const { lease, candidate, self } = this.#options
    const state = this.#state
    const clusterId = this.#options.readClusterId()
    const lastError = this.#troubles.last
    const common = {
      type: lease.type,
      candidate,
      ...(clusterId === undefined ? {} : { clusterId }),
      ...(lastError === undefined ? {} : { lastError }),
    }
    if (state.name === 'leading' && state.phase !== 'taking-over') {
      const left = Number.isFinite(state.deadlineMs) ? { deadlineMs: Math.max(0, state.deadlineMs - nowMs()) } : {}
      return { ...common, role: 'primary', term: state.term, primary: self, ...left }
    }
    const assigned = 'assigned' in state ? state.assigned : undefined
    if (assigned?.kind === 'follow')
      return { ...common, role: 'replica', term: assigned.term, primary: assigned.primary }
    return { ...common, role: 'idle', term: this.#writes.highestTerm }
  }

  /** Why this node can neither lead nor follow: the lease belongs to another cluster. */
  get mismatch(): string | undefined {
    const view = this.#state.seen?.view
    return view?.kind === 'foreign' && view.error instanceof ClusterMismatchError ? view.error.message : undefined
  }

  /** On the primary: drain, release the lease for `nodeId`, follow it. Throws LtxdError. */
  async handoff(nodeId: string): Promise<void> {
    const { lease } = this.#options
    const problem = this.#handoffProblem(nodeId)
    if (problem !== undefined) throw new HandoffError('HANDOFF_REFUSED', problem)
    const handoff = (this.#handoff = new Handoff(nodeId, lease.ttlMs))
    try {
      await this.#assertWritable()
      this.#dispatch({ type: 'handoff', to: nodeId })
      await handoff.decided
    } finally {
      this.#handoff = undefined
    }
  }

  /** This node leads without the transactions of later leaders that it lacks. */
  force(): void {
    const state = this.#state
    if (state.name === 'standing-by' && state.missing !== undefined) {
      const { holder, term } = state.missing
      this.#options.logger.warn(
        { peer: holder.nodeId, host: holder.hostname, url: holder.url, term: String(term) },
        'leading on request without the transactions that another node committed in a later term: that node sets them ' +
          'aside when it returns',
      )
    }
    this.#dispatch({ type: 'force' })
  }

  /**
   * Drains, releases the lease, and ends without a role. Within that time, a node that may be the last one ships what
   * only it has, and leads for that if need be. Returns whether others are known to have everything of this node.
   */
  async stop(withinMs = 0): Promise<boolean> {
    this.#dispatch(withinMs === 0 ? { type: 'stop' } : { type: 'stop', byMs: nowMs() + withinMs })
    await this.#stopped
    return this.#isSafe
  }

  /** A primary does not drain for a lease that it could not release. Throws HandoffError. */
  async #assertWritable(): Promise<void> {
    const done: Event[] = []
    this.#write(async () => {
      const outcome = await this.#renew()
      if (outcome !== undefined) done.push(outcome)
      return outcome
    })
    await this.#operations
    const [outcome] = done
    if (outcome?.type === 'renewed') return
    const why = outcome?.type === 'renew-failed' ? outcome.reason : 'this node does not hold the lease any more'
    throw new HandoffError('HANDOFF_REFUSED', `the lease cannot be passed on now: ${why}. Nothing has changed`)
  }

  #handoffProblem(nodeId: string): string | undefined {
    const { lease, self } = this.#options
    if (lease.type === 'static') return 'the primary is fixed by configuration (lease.type: static): change it there'
    if (this.#handoff !== undefined) return `a handoff to ${this.#handoff.to} is under way`
    const state = this.#state
    if (state.name !== 'leading' || state.phase !== 'serving')
      return 'this node is not the primary: send the request to the primary'
    return nodeId === self.nodeId ? 'this node is the primary already' : undefined
  }

  #dispatch(event: Event): void {
    const before = this.#state
    const { host, readClusterId } = this.#options
    const judged = before.name !== 'leading' && before.name !== 'stopped'
    const { state, effects } = next(before, event, this.#rules, {
      ms: nowMs(),
      unfit: judged ? host.unfit() : undefined,
      newcomer: judged && readClusterId() === undefined,
      knownTerm: host.knownTerm(),
      ledTerm: host.ledTerm(),
      historyTerm: host.historyTerm(),
    })
    this.#state = state
    noteWaits(this.#troubles, state, event, this.#rules)
    if (event.type === 'left') this.#isSafe = event.told || event.safe
    if (event.type === 'drained') this.#isSafe = event.kept === 'elsewhere'
    for (const effect of effects) this.#perform(effect)
    this.#handoff?.observe(state, event)
    this.#armTimer()
  }

  #joinCluster(): void {
    const { readClusterId, writeClusterId } = this.#options
    const { clusterId } = this.#writes
    if (clusterId !== undefined && readClusterId() !== clusterId) writeClusterId(clusterId)
  }

  #armTimer(): void {
    clearTimeout(this.#timer)
    const atMs = wakeAtMs(this.#state)
    if (atMs === Infinity) return
    const delayMs = Math.min(Math.max(Math.ceil(atMs - nowMs()), 0), MAX_TIMER_MS)
    this.#timer = setTimeout(() => this.#dispatch({ type: 'tick' }), delayMs)
  }

  #perform(effect: Effect): void {
    const { host } = this.#options
    switch (effect.kind) {
      case 'follow':
        return this.#calls.follow(effect)
      case 'idle': {
        const { seen } = this.#state
        return this.#calls.idle(effect, seen?.view.kind === 'foreign' ? seen.view.error : undefined)
      }
      case 'acquire':
        return this.#write(() => this.#writes.acquire(effect, host.knownTerm()))
      case 'renew':
        return this.#write(() => this.#renew())
      case 'release':
        return this.#write(() => this.#writes.release(effect))
      case 'extend':
        return host.extend(toNs(effect.deadlineMs))
      case 'lead':
        return this.#calls.lead(effect)
      case 'drain':
        return this.#calls.drain(effect)
      case 'fence':
        return host.extend(0n)
      case 'abort':
        return this.#calls.abort()
      case 'step-down':
        return this.#stepDown(effect)
      case 'wait-for':
        return effect.leader === undefined
          ? this.#troubles.over('history')
          : this.#troubles.began('history', missingHistory(effect.leader))
      case 'stand':
        return this.#calls.stand(effect, (positions) => this.#write(() => this.#stand(effect.of, positions)))
      case 'leave':
        return this.#calls.leave()
      case 'close':
        clearTimeout(this.#timer)
        this.#calls.abort()
        return void this.#close()
    }
  }

  #stepDown(effect: Effect & { kind: 'step-down' }): void {
    const isLost = this.#state.name === 'yielding' && this.#state.release === undefined
    if (isLost) this.#options.lease.refresh()
    this.#calls.stepDown(effect, isLost)
  }

  #write(write: () => Promise<Event | undefined>): void {
    this.#operations = this.#operations.then(async () => {
      const outcome = await write()
      if (outcome === undefined) return
      this.#dispatch(outcome)
      if (outcome.type === 'acquire-failed') this.#options.lease.refresh()
    })
  }

  #stand(of: string, positions: Positions): Promise<Event> {
    const { host, candidate } = this.#options
    const isMissing = this.#state.name === 'standing-by' && this.#state.missing !== undefined
    const isUnfit = !candidate || isMissing || host.unfit() !== undefined
    const { lastRecord } = this.#state
    const witnessed = lastRecord && { term: lastRecord.term, holder: lastRecord.holder.nodeId }
    const position = { historyTerm: host.historyTerm(), positions, nodes: host.knownNodes(), witnessed, isUnfit }
    return this.#writes.stand(of, position, host.knownTerm())
  }

  /** Does nothing if the lease was lost while this operation waited for others. */
  async #renew(): Promise<Event | undefined> {
    return this.#state.name === 'leading' ? this.#writes.renew(this.#state.term) : undefined
  }

  async #close(): Promise<void> {
    await this.#options.lease.close()
    await this.#calls.finished()
    this.#firstRole.resolve()
    this.#resolveStopped()
  }
}
